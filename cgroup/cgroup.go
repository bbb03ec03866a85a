// Package cgroup tells how much memory the kernel lets a process have: the control plane's garbage collector
// and a gateway's Envoy stop short of it, where the kernel would end them.
//
// The library automemlimit does nearly the same (v1.0, 56 KB more, with two modules). It does not read
// memory.high, at which the kernel throttles, and takes no file system to be tested with.
package cgroup

import (
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limit gives what the process's cgroup and those around it allow, in bytes; 0 for no limit.
// root is the machine's file system.
func Limit(root fs.FS) int64 {
	lowest := int64(math.MaxInt64)
	for _, h := range hierarchies(root) {
		for dir := path.Join(h.mount, h.below); ; dir = path.Dir(dir) {
			for _, file := range h.files {
				lowest = min(lowest, readLimit(root, path.Join(dir, file)))
			}
			if dir == h.mount || dir == "." {
				break
			}
		}
	}
	if lowest == math.MaxInt64 {
		return 0
	}
	return lowest
}

// noLimit is where version 1's numbers begin that stand for no limit: a little less than 1<<63.
const noLimit = 1 << 60

func readLimit(root fs.FS, name string) int64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return math.MaxInt64
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || limit <= 0 || limit >= noLimit { // "max" is no number
		return math.MaxInt64
	}
	return limit
}

// hierarchy is a mounted tree of cgroups that accounts memory.
type hierarchy struct {
	mount string   // below the root, without a leading slash
	below string   // where in it the process is
	files []string // that hold limits
}

// hierarchies finds those of version 2 and of version 1; a machine may have both.
func hierarchies(root fs.FS) []hierarchy {
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var out []hierarchy
	for line := range strings.Lines(string(mounts)) {
		left, right, ok := strings.Cut(line, " - ") // see proc_pid_mountinfo(5)
		where, what := strings.Fields(left), strings.Fields(right)
		if !ok || len(where) < 5 || len(what) < 3 {
			continue
		}
		h := hierarchy{mount: strings.TrimPrefix(where[4], "/")}
		switch {
		case what[0] == "cgroup2":
			// Above memory.high the kernel throttles, which is as good as an end.
			h.below, h.files = placeIn(root, ""), []string{"memory.max", "memory.high"}
		case what[0] == "cgroup" && slices.Contains(strings.Split(what[2], ","), "memory"):
			h.below, h.files = placeIn(root, "memory"), []string{"memory.limit_in_bytes"}
		default:
			continue
		}
		below, ok := strings.CutPrefix(h.below, strings.TrimSuffix(where[3], "/"))
		if !ok || strings.Contains(below, "..") { // the mount shows another part of the tree than ours
			below = ""
		}
		h.below = below
		out = append(out, h)
	}
	return out
}

// placeIn gives the process's cgroup in version 1's hierarchy of a controller, or in version 2's.
func placeIn(root fs.FS, controller string) string {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return parts[2]
		}
	}
	return "/"
}
