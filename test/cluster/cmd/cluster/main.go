// Command cluster runs a real Kubernetes on this machine until it is interrupted, or takes down one
// whose process was killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var cfg cluster.Config
	var down, demo bool
	var images string
	flag.StringVar(&cfg.Name, "name", "k8s", "name of the cluster")
	flag.IntVar(&cfg.Nodes, "nodes", 1, "number of nodes")
	flag.StringVar(&cfg.Programs, "programs", ".tools/kubernetes", "directory of the programs")
	flag.StringVar(&images, "images", ".images", "directory of image tarballs that every node gets")
	flag.BoolVar(&down, "down", false, "take the cluster down")
	flag.BoolVar(&demo, "demo", false, "install the mesh and run the bookinfo sample in it")
	flag.Parse()
	if down {
		err := cluster.Down(ctx, cfg.StateRoot, cfg.Name)
		if errors.Is(err, localnode.ErrNoMesh) {
			return errors.New("there is no such cluster on this machine")
		}
		return err
	}
	var err error
	if cfg.Images, err = filepath.Glob(filepath.Join(images, "*.tar")); err != nil {
		return err
	}
	if cfg.Programs, err = filepath.Abs(cfg.Programs); err != nil {
		return err
	}
	cfg.Progress = func(line string) { fmt.Fprintln(os.Stderr, line) }
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	return cluster.Up(ctx, cfg, func(info cluster.Info) {
		if demo {
			url, err := cluster.Demo(ctx, info, "samples/bookinfo", cfg.Progress)
			if err != nil {
				fail(err)
				return
			}
			defer fmt.Printf("the page is at %s\n", url)
		}
		fmt.Fprintf(os.Stderr, "the cluster is ready; Ctrl-C ends it\n")
		fmt.Printf("export KUBECONFIG=%s\n", info.Kubeconfig)
	})
}
