package main

import (
	"io/fs"
	"log/slog"
	"runtime/debug"

	"github.com/pilothouse-mesh/pilothouse/cgroup"
)

// limitMemory makes the garbage collector work harder before the cgroup's limit is reached instead
// of letting the kernel end the process there. A limit in the environment stays.
func limitMemory(fromEnvironment string, root fs.FS, log *slog.Logger) {
	if fromEnvironment != "" {
		return
	}
	allowed := cgroup.Limit(root)
	if allowed == 0 {
		return
	}
	// The rest is for stacks of the kernel and buffers of sockets, which count in the cgroup.
	limit := allowed / 10 * 9
	debug.SetMemoryLimit(limit)
	log.Info("memory is limited", "cgroupBytes", allowed, "heapBytes", limit)
}
