package iptables

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the results into the golden files")

// TestBuild compares rules with the cases in testdata/build: each file holds a config, and
// the rules of both families or the error.
func TestBuild(t *testing.T) {
	files, err := filepath.Glob("testdata/build/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			if filepath.Ext(file) != ".txtar" {
				t.Fatalf("%s is no case", file)
			}
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Files) == 0 || a.Files[0].Name != "config.yaml" {
				t.Fatalf("%s: the first file is not config.yaml", file)
			}
			got := append(a.Files[:1:1], result(t, a.Files[0].Data)...)
			if *update {
				out := txtar.Format(&txtar.Archive{Comment: a.Comment, Files: got})
				if err := os.WriteFile(file, out, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			// Files that no result gives any more are orphans, and show up as well.
			if d := cmp.Diff(text(a.Files), text(got)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func text(files []txtar.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
		out = append(out, strings.Split(string(f.Data), "\n")...)
	}
	return out
}

func result(t *testing.T, config []byte) []txtar.File {
	var c Config
	if err := yaml.UnmarshalStrict(config, &c); err != nil {
		t.Fatal(err)
	}
	rules, err := Build(c)
	if err != nil {
		return []txtar.File{{Name: "error", Data: []byte(err.Error() + "\n")}}
	}
	var out []txtar.File
	for _, family := range []Family{IPv4, IPv6} {
		var b bytes.Buffer
		if err := rules.For(family).Print(&b); err != nil {
			t.Fatal(err)
		}
		out = append(out, txtar.File{Name: family.String(), Data: b.Bytes()})
	}
	return out
}

// TestJumpsAlone says that in the kernel's chains nothing of ours stands but jumps into our
// own, which is what makes a clean-up without knowledge of the configuration possible.
func TestJumpsAlone(t *testing.T) {
	rules, err := Build(Config{
		InboundPorts: "*", OutboundCIDRs: "*", ExcludeInterfaces: "eth1", VirtualInterfaces: "net0",
		RedirectDNS: true, CaptureAllDNS: true, DropInvalid: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(slices.Clone(rules.IPv4), rules.IPv6...) {
		if r.Jump() && !OwnChain(r.Args[len(r.Args)-1]) {
			t.Errorf("%s %s %s leads elsewhere", r.Table, r.Chain, r)
		}
		if r.Reason == "" || strings.Contains(r.Reason, "\n") {
			t.Errorf("%s %s %s: reason %q is not one line", r.Table, r.Chain, r, r.Reason)
		}
	}
}

// FuzzBuild says that no list panics, and that what is accepted forms lines of plain words:
// nothing of the input can smuggle a rule or an argument into the script.
func FuzzBuild(f *testing.F) {
	f.Add("15020,15021", "10.0.0.0/8,fd00::/8", "eth0", "1337")
	f.Add("*", "*", "net+", "istio-proxy")
	f.Add("0,65536,-1,a\nb", "10.0.0.0/33,::ffff:1.2.3.4/120,fe80::1%eth0", "a b", "1 -j ACCEPT")
	f.Fuzz(func(t *testing.T, ports, cidrs, dev, owner string) {
		rules, err := Build(Config{
			InboundPorts: ports, InboundPortsExclude: ports, OutboundPorts: ports, OutboundPortsExclude: ports,
			OutboundCIDRs: cidrs, OutboundCIDRsExclude: cidrs, ExcludeInterfaces: dev, VirtualInterfaces: dev,
			ProxyUID: owner, OwnerGroups: owner, RedirectDNS: true, DropInvalid: true,
		})
		if err != nil {
			if !strings.Contains(err.Error(), "--") && !strings.Contains(err.Error(), "ISTIO_") {
				t.Errorf("error names no input: %v", err)
			}
			return
		}
		for _, r := range append(slices.Clone(rules.IPv4), rules.IPv6...) {
			for _, a := range r.Args {
				if a == "" || strings.ContainsAny(a, " \t\r\n\"'\\") {
					t.Fatalf("argument %q of %v", a, r)
				}
			}
		}
	})
}
