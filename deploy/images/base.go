package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// notNeeded are the parts of Debian packages that a container does not read, and what the
// machine that made the base put there of its own.
var notNeeded = []string{
	"usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/", "usr/share/perl5/",
	"usr/lib/x86_64-linux-gnu/perl", "usr/share/debconf/", "var/lib/dpkg/", "var/lib/apt/", "var/cache/", "var/log/", "etc/apt/",
	"etc/dpkg/", "dev/", "etc/resolv.conf", "etc/hostname", "etc/fstab", "usr/bin/perl", "usr/lib/x86_64-linux-gnu/gconv/",
}

// baseLayer reads the tar of packages and keeps what a running container needs.
func baseLayer(from string) ([]entry, error) {
	f, err := os.Open(from)
	if err != nil {
		return nil, fmt.Errorf("base: %w: run `make tools`", err)
	}
	defer f.Close()
	var entries []entry
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", from, err)
		}
		name := strings.Trim(path.Clean("/"+h.Name), "/")
		if name == "" || slices.ContainsFunc(notNeeded, func(p string) bool { return strings.HasPrefix(name+"/", p) || strings.HasPrefix(name, p) }) {
			continue
		}
		e := entry{path: name, kind: entryKind(h.Typeflag), mode: h.Mode & 0o7777, target: h.Linkname}
		switch h.Typeflag {
		case tar.TypeReg:
			if e.data, err = io.ReadAll(r); err != nil {
				return nil, fmt.Errorf("base %s: %s: %w", from, name, err)
			}
		case tar.TypeLink:
			e.target = strings.Trim(path.Clean("/"+h.Linkname), "/")
		case tar.TypeDir, tar.TypeSymlink:
		default: // devices and sockets are the runtime's to make
			continue
		}
		entries = append(entries, e)
	}
}

// certificates makes the bundle of public roots that the package's own script would have made.
func certificates(base []entry) (entry, error) {
	var files []entry
	for _, e := range base {
		if strings.HasPrefix(e.path, "usr/share/ca-certificates/") && strings.HasSuffix(e.path, ".crt") {
			files = append(files, e)
		}
	}
	if len(files) == 0 {
		return entry{}, errors.New("base: no certificates in it: is ca-certificates among its packages?")
	}
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	var bundle strings.Builder
	for _, f := range files {
		bundle.Write(f.data)
	}
	return content("etc/ssl/certs/ca-certificates.crt", bundle.String()), nil
}
