package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryLimit gives the soft limit for the garbage collector in bytes: nine tenths of what the
// cgroup allows, the rest being stacks and buffers of the kernel; 0 where there is no limit, or
// where the environment sets one itself.
func memoryLimit(fromEnvironment, cgroup string) int64 {
	if fromEnvironment != "" {
		return 0
	}
	for _, file := range []string{"memory.max", "memory/memory.limit_in_bytes"} { // cgroup v2, v1
		b, err := os.ReadFile(filepath.Join(cgroup, file))
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || limit >= 1<<60 { // "max", or v1's way to say so
			return 0
		}
		return limit / 10 * 9
	}
	return 0
}
