package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// traces lists what a mesh could leave behind on this machine, a line each: namespaces, links,
// routes, rules, mounts, processes, cgroups, files.
func traces(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, cmd := range [][]string{
		{"ip", "netns", "list"},
		{"ip", "-o", "link"},
		{"ip", "-4", "route", "show", "table", "all"},
		{"iptables-save"},
	} {
		data, err := exec.CommandContext(t.Context(), cmd[0], cmd[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", cmd, err)
		}
		for l := range strings.Lines(string(data)) {
			if !strings.HasPrefix(l, "#") && !strings.HasPrefix(l, ":") { // dates and counters of iptables-save
				out = append(out, cmd[0]+": "+strings.TrimSpace(l))
			}
		}
	}
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, "ip_forward: "+string(forward))
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(mounts)) {
		out = append(out, "mount: "+l)
	}
	files, err := filepath.Glob("/run/pilothouse/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		out = append(out, "file: "+f)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*", "/dev/shm/*", "/var/lib/cni/*/*", "/run/containerd/*"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			out = append(out, "file: "+d)
		}
	}
	return append(out, processes(t)...)
}

// meshPrograms are the programs that a mesh starts.
var meshPrograms = []string{"containerd", "containerd-shim", "pilot-", "envoy", "bookinfo", "pause", "runc"}

func processes(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range dirs {
		// A process may end between the listing and the reading.
		data, _ := os.ReadFile(d)
		cgroup, _ := os.ReadFile(filepath.Join(filepath.Dir(d), "cgroup"))
		if !strings.Contains(string(data)+string(cgroup), "/pilothouse/") {
			continue // of no mesh: other tests run such programs as well
		}
		name := filepath.Base(strings.Split(string(data), "\x00")[0])
		if slices.ContainsFunc(meshPrograms, func(p string) bool { return strings.HasPrefix(name, p) }) && name != "pilotctl" {
			out = append(out, "process: "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return out
}

// assertNothingLeft compares with what there was before.
func assertNothingLeft(t testing.TB, before []string) {
	t.Helper()
	was := map[string]int{}
	for _, l := range before {
		was[l]++
	}
	for _, l := range traces(t) {
		if was[l]--; was[l] < 0 {
			t.Errorf("left behind: %s", l)
		}
	}
}
