package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// sources makes inputs of small files.
func sources(t *testing.T) inputs {
	t.Helper()
	dir := t.TempDir()
	in := inputs{base: filepath.Join(dir, "base.tar"), envoy: filepath.Join(dir, "envoy"), bin: dir, out: filepath.Join(dir, "out"), tag: "dev"}
	for _, name := range []string{"envoy", "pilot-discovery", "pilot-agent", "pause", "bookinfo"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("program "+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var base bytes.Buffer
	if err := writeTar(&base, []entry{
		content("usr/share/ca-certificates/mozilla/b.crt", "B\n"), content("usr/share/ca-certificates/mozilla/a.crt", "A\n"),
		content("usr/share/doc/x", "doc"), content("etc/hostname", "host"), content("usr/sbin/xtables-nft-multi", "x"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.base, base.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return in
}

// imageOf unpacks a tarball and gives the image that containerd would call by the tag.
func imageOf(t *testing.T, tarFile, tag string) v1.Image {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, tarFS(t, tarFile)); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Annotations["io.containerd.image.name"] == "docker.io/"+tag {
			img, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return img
		}
	}
	t.Fatalf("no image %s in %s", tag, tarFile)
	return nil
}

func tarFS(t *testing.T, tarFile string) fstest.MapFS {
	t.Helper()
	f, err := os.Open(tarFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := fstest.MapFS{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			out[h.Name] = &fstest.MapFile{Data: data, Mode: 0o644}
		}
	}
}

func files(t *testing.T, tarFile, tag string) map[string]string {
	t.Helper()
	img := imageOf(t, tarFile, tag)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range layers {
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(rc); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, _ := io.ReadAll(r)
			out[h.Name] = h.Linkname + string(data)
		}
		rc.Close()
	}
	return out
}

func TestSameInputsGiveTheSameBytes(t *testing.T) {
	in := sources(t)
	var former map[string][]byte
	for range 2 {
		if err := run(in); err != nil {
			t.Fatal(err)
		}
		now := map[string][]byte{}
		for _, n := range []string{"pilot", "proxy", "pause", "bookinfo"} {
			data, err := os.ReadFile(filepath.Join(in.out, n+".tar"))
			if err != nil {
				t.Fatal(err)
			}
			now[n] = data
			if former != nil && !bytes.Equal(former[n], data) {
				t.Errorf("%s.tar differs between two runs", n)
			}
		}
		former = now
	}
}

func TestProxyHoldsAgentEnvoyAndRules(t *testing.T) {
	in := sources(t)
	if err := run(in); err != nil {
		t.Fatal(err)
	}
	got := files(t, filepath.Join(in.out, "proxy.tar"), "pilothouse/proxy:dev")
	for path, want := range map[string]string{
		"usr/local/bin/envoy": "program envoy", "usr/local/bin/pilot-agent": "program pilot-agent",
		"usr/sbin/iptables-restore": "xtables-nft-multi", "etc/ssl/certs/ca-certificates.crt": "A\nB\n",
	} {
		if got[path] != want {
			t.Errorf("%s = %q, want %q", path, got[path], want)
		}
	}
	for _, path := range []string{"usr/share/doc/x", "etc/hostname"} {
		if _, ok := got[path]; ok {
			t.Errorf("%s is in the image", path)
		}
	}
}

func TestBookinfoImagesShareALayerAndSayWhoTheyAre(t *testing.T) {
	in := sources(t)
	_, images, err := bookinfoImages(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != 6 || !slices.Contains(images[3].config.Env, "BOOKINFO_VERSION=v2") {
		t.Errorf("images %+v", images)
	}
	if err := run(in); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(in.out, "bookinfo.tar"), images[5].tag); got["usr/local/bin/bookinfo"] == "" {
		t.Errorf("no program in %s", images[5].tag)
	}
}
