package main

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// repository is the prefix of every image's name.
const repository = "pilothouse/"

// proxyUID is the user that the proxy runs as; iptables rules let its traffic pass.
const proxyUID = 1337

func program(dir, name string) (entry, error) {
	return file("usr/local/bin/"+name, filepath.Join(dir, name))
}

func pilotImage(in inputs, base []entry) (string, []image, error) {
	discovery, err := program(in.bin, "pilot-discovery")
	if err != nil {
		return "", nil, err
	}
	bundle, err := certificates(base)
	if err != nil {
		return "", nil, err
	}
	return "pilot", []image{{
		tag: repository + "pilot:" + in.tag, layers: [][]entry{{bundle, directory("tmp", 0o1777, 0), discovery}},
		config: v1.Config{User: fmt.Sprint(proxyUID), Entrypoint: []string{"/usr/local/bin/pilot-discovery"}},
	}}, nil
}

func proxyImage(in inputs, base []entry) (string, []image, error) {
	agent, err := program(in.bin, "pilot-agent")
	if err != nil {
		return "", nil, err
	}
	envoy, err := file("usr/local/bin/envoy", in.envoy)
	if err != nil {
		return "", nil, err
	}
	bundle, err := certificates(base)
	if err != nil {
		return "", nil, err
	}
	system := append(append([]entry{}, base...), bundle,
		// The packages' own scripts would have made these links.
		symlink("usr/sbin/iptables", "xtables-nft-multi"), symlink("usr/sbin/ip6tables", "xtables-nft-multi"),
		symlink("usr/sbin/iptables-save", "xtables-nft-multi"), symlink("usr/sbin/ip6tables-save", "xtables-nft-multi"),
		symlink("usr/sbin/iptables-restore", "xtables-nft-multi"), symlink("usr/sbin/ip6tables-restore", "xtables-nft-multi"),
		content("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nistio-proxy:x:1337:1337::/:/sbin/nologin\n"),
		content("etc/group", "root:x:0:\nistio-proxy:x:1337:\n"),
		directory("tmp", 0o1777, 0),
		directory("etc/istio/proxy", 0o755, proxyUID), directory("var/lib/istio/data", 0o755, proxyUID),
		directory("var/run/secrets", 0o755, proxyUID))
	return "proxy", []image{{
		tag: repository + "proxy:" + in.tag, layers: [][]entry{system, {envoy}, {agent}},
		config: v1.Config{
			User: fmt.Sprint(proxyUID), Entrypoint: []string{"/usr/local/bin/pilot-agent"},
			Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
	}}, nil
}

func pauseImage(in inputs, _ []entry) (string, []image, error) {
	pause, err := file("pause", filepath.Join(in.bin, "pause"))
	if err != nil {
		return "", nil, err
	}
	return "pause", []image{{
		tag: repository + "pause:" + in.tag, layers: [][]entry{{pause}},
		config: v1.Config{User: "65535:65535", Entrypoint: []string{"/pause"}},
	}}, nil
}

// bookinfoImages gives one image for each service and version, with the names that Istio's
// sample gives them; all share one layer, and their environment tells which is which.
func bookinfoImages(in inputs, _ []entry) (string, []image, error) {
	app, err := program(in.bin, "bookinfo")
	if err != nil {
		return "", nil, err
	}
	layer := []entry{app, directory("tmp", 0o1777, 0)}
	var images []image
	for _, v := range [][2]string{
		{"productpage", "v1"}, {"details", "v1"}, {"reviews", "v1"}, {"reviews", "v2"}, {"reviews", "v3"}, {"ratings", "v1"},
	} {
		images = append(images, image{
			tag: repository + "examples-bookinfo-" + v[0] + "-" + v[1] + ":" + in.tag, layers: [][]entry{layer},
			config: v1.Config{
				User: "1000", Entrypoint: []string{"/usr/local/bin/bookinfo"}, ExposedPorts: map[string]struct{}{"9080/tcp": {}},
				Env: []string{"BOOKINFO_SERVICE=" + v[0], "BOOKINFO_VERSION=" + v[1]},
			},
		})
	}
	return "bookinfo", images, nil
}

// file gives the entry of a program of the host.
func file(path, source string) (entry, error) {
	data, err := os.ReadFile(source)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w: run `make build`", path, err)
	}
	return entry{path: path, mode: 0o755, data: data, kind: regular}, nil
}
