package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a control group that holds one process, for its memory's accounting.
type cgroup struct {
	dir         string
	peaks, uses []string // files whose sum is the peak, and the present use
}

// newCgroup makes a group for a process, or gives nil where that is not possible: without root, or
// in a container.
func newCgroup(pid int) *cgroup {
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("pilothouse-bench-%d", pid)
	g := &cgroup{ // v1 counts sockets apart
		dir:   filepath.Join(root, "memory", name),
		peaks: []string{"memory.max_usage_in_bytes", "memory.kmem.tcp.max_usage_in_bytes"},
		uses:  []string{"memory.usage_in_bytes", "memory.kmem.tcp.usage_in_bytes"},
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		g = &cgroup{dir: filepath.Join(root, name), peaks: []string{"memory.peak"}, uses: []string{"memory.current"}}
	}
	if os.Mkdir(g.dir, 0o755) != nil {
		return nil
	}
	// v1 counts sockets only where there is a limit; this one is out of reach. v2 has no such file.
	limit := filepath.Join(g.dir, "memory.kmem.tcp.limit_in_bytes")
	if _, err := os.Stat(limit); err == nil {
		_ = os.WriteFile(limit, []byte("1099511627776"), 0o644)
	}
	if os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644) != nil {
		g.remove()
		return nil
	}
	return g
}

// peak gives the most that the group has held, and use what it holds; 0 where there is no group.
func (g *cgroup) peak() int64 {
	if g == nil {
		return 0
	}
	return g.sum(g.peaks)
}

func (g *cgroup) use() int64 {
	if g == nil {
		return 0
	}
	return g.sum(g.uses)
}

func (g *cgroup) sum(names []string) int64 {
	var sum int64
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(g.dir, name))
		if err != nil {
			continue // of a kernel that does not count these
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			sum += n
		}
	}
	return sum
}

func (g *cgroup) remove() {
	if g != nil {
		_ = os.Remove(g.dir) // one that is left over is empty and harms nobody
	}
}
