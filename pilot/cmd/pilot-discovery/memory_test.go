package main

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMemoryLimitOfTheCollector(t *testing.T) {
	former := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(former) })
	const gibibyte = 1 << 30
	root := fstest.MapFS{
		"proc/self/mountinfo":      {Data: []byte("36 25 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")},
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte("1073741824\n")},
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	limitMemory("2GiB", root, log)
	if got := debug.SetMemoryLimit(-1); got != former || out.Len() > 0 {
		t.Errorf("overrides the environment: %d, %s", got, out.String())
	}
	limitMemory("", root, log)
	if got := debug.SetMemoryLimit(-1); got != gibibyte/10*9 || !strings.Contains(out.String(), "cgroupBytes=1073741824") {
		t.Errorf("got %d, want nine tenths of a gibibyte; log: %s", got, out.String())
	}
}
