// Command images builds the container images of the project as tarballs that containerd and
// Docker load, without a container engine and without a registry: pilot, proxy (agent, Envoy,
// iptables on a base of Debian packages), pause, and the bookinfo sample. The same inputs give
// the same bytes: entries are sorted, times and owners are fixed.
//
//	images --base .tools/base.tar --envoy .tools/envoy --bin bin --out .images
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// inputs are the files that the images are made of.
type inputs struct {
	base  string // tar of Debian packages, as mmdebstrap writes it
	envoy string // the Envoy program
	bin   string // folder with pilot-discovery, pilot-agent, pause and bookinfo
	out   string // folder that the tarballs go to
	tag   string // tag of every image
}

func main() {
	var in inputs
	flag.StringVar(&in.base, "base", "", "tar file of the base's Debian packages")
	flag.StringVar(&in.envoy, "envoy", "", "Envoy program")
	flag.StringVar(&in.bin, "bin", "bin", "folder with the project's programs")
	flag.StringVar(&in.out, "out", ".images", "folder for the tarballs")
	flag.StringVar(&in.tag, "tag", "dev", "tag of the images")
	flag.Parse()
	if err := run(in); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(in inputs) error {
	if err := os.MkdirAll(in.out, 0o755); err != nil {
		return err
	}
	base, err := baseLayer(in.base)
	if err != nil {
		return err
	}
	for _, build := range []func(inputs, []entry) (string, []image, error){pilotImage, proxyImage, pauseImage, bookinfoImages} {
		name, images, err := build(in, base)
		if err != nil {
			return err
		}
		path := filepath.Join(in.out, name+".tar")
		if err := write(path, images); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		fmt.Fprintln(os.Stderr, path)
	}
	return nil
}
