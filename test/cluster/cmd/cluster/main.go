// Command cluster runs a real Kubernetes on this machine until it is interrupted, or takes down one
// whose process was killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
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
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: cluster [flags] [COMMAND ARGUMENT...]\nwith a command, the cluster lives as long as that, which finds it by $KUBECONFIG")
		flag.PrintDefaults()
	}
	var images string
	flag.StringVar(&cfg.Name, "name", "k8s", "name of the cluster")
	flag.StringVar(&cfg.StateRoot, "state", cluster.DefaultStateRoot, "directory of the state of clusters")
	flag.IntVar(&cfg.Nodes, "nodes", 1, "number of nodes")
	flag.StringVar(&cfg.Programs, "programs", ".tools/kubernetes", "directory of the programs")
	flag.StringVar(&images, "images", ".images", "directory of image tarballs that every node gets")
	flag.BoolVar(&down, "down", false, "take the cluster down")
	flag.BoolVar(&cfg.Bare, "bare", false, "without nodes, and without what makes EndpointSlices: objects are only kept")
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
	var ended error // of the command
	err = cluster.Up(ctx, cfg, func(info cluster.Info) {
		if demo {
			url, err := cluster.Demo(ctx, info, "samples/bookinfo", cfg.Progress)
			if err != nil {
				fail(err)
				return
			}
			defer fmt.Printf("the page is at %s\n", url)
		}
		if flag.NArg() > 0 {
			ended = command(ctx, info, flag.Args())
			fail(context.Canceled)
			return
		}
		fmt.Fprintf(os.Stderr, "the cluster is ready; Ctrl-C ends it\n")
		fmt.Printf("export KUBECONFIG=%s\n", info.Kubeconfig)
	})
	return errors.Join(err, ended)
}

// command runs a command that finds the cluster by its environment.
func command(ctx context.Context, info cluster.Info, line []string) error {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+info.Kubeconfig)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", line[0], err)
	}
	return nil
}
