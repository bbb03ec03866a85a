// Package leftovers finds, for tests, what a mesh or a cluster leaves behind on this machine.
package leftovers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Traces lists what a mesh or a cluster, whose state is below a directory, could leave behind on this machine, a line
// each: namespaces, links, routes, rules, settings, mounts, processes, cgroups, files.
func Traces(t testing.TB, state string) []string {
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
	for _, setting := range []string{"net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"} {
		value, err := os.ReadFile("/proc/sys/" + setting)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, setting+": "+string(value))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(mounts)) {
		out = append(out, "mount: "+l)
	}
	for _, pattern := range []string{
		state + "/*", "/var/lib/kubelet", "/var/lib/kubelet/*", "/var/log/containers/*", "/var/log/pods/*",
		"/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*", "/sys/fs/cgroup/*/k8s.io/*", "/sys/fs/cgroup/k8s.io/*",
		"/sys/fs/cgroup/*/pilothouse/*", "/sys/fs/cgroup/pilothouse/*",
		"/dev/shm/*", "/var/lib/cni/*/*", "/run/containerd/*", "/run/containerd/*/*",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			out = append(out, "file: "+d)
		}
	}
	return append(out, processes(t, state)...)
}

// processes gives those that were started for the state, or are in a cgroup of ours: of a mesh, or as containerd names
// them for the pods of a cluster. One that has ended has no command line, and waits for init to reap it.
func processes(t testing.TB, state string) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range dirs {
		// A process may end between the listing and the reading.
		line, _ := os.ReadFile(d)
		cgroup, _ := os.ReadFile(filepath.Join(filepath.Dir(d), "cgroup"))
		name, _, _ := strings.Cut(string(line), "\x00")
		ours := strings.Contains(string(line), state+"/") || strings.Contains(string(cgroup), "/pilothouse/") || strings.Contains(string(cgroup), ":/k8s.io/")
		if ours && name != "" && filepath.Base(name) != "pilotctl" {
			out = append(out, "process: "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

// AssertNone compares with what there was before.
func AssertNone(t testing.TB, state string, before []string) {
	t.Helper()
	was := map[string]int{}
	for _, l := range before {
		was[l]++
	}
	for _, l := range Traces(t, state) {
		if was[l]--; was[l] < 0 {
			t.Errorf("left behind: %s", l)
		}
	}
}
