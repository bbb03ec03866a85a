package cgroup

import (
	"testing"
	"testing/fstest"
)

// files are a file system, by name.
func files(of map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range of {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

const (
	mountV2     = "36 25 0:31 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV1     = "40 25 0:35 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n41 25 0:36 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	mountV1Part = "40 25 0:35 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	unlimitedV1 = "9223372036854771712\n"
)

func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no proc":    {nil, 0},
		"no cgroups": {map[string]string{"proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda rw\n", "proc/self/cgroup": "0::/\n"}, 0},
		"of a container, version 2": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n",
		}, 1000},
		"none, version 2": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n",
		}, 0},
		"the lowest around": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/pods/a/b\n", "sys/fs/cgroup/pods/a/b/memory.max": "max\n",
			"sys/fs/cgroup/pods/a/memory.max": "3000\n", "sys/fs/cgroup/pods/memory.max": "2000\n", "sys/fs/cgroup/pods/memory.high": "max\n",
		}, 2000},
		"of the process first": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "500\n", "sys/fs/cgroup/a/memory.max": "900\n",
		}, 500},
		"throttled before": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "900\n", "sys/fs/cgroup/a/memory.high": "700\n",
		}, 700},
		"another's cgroup": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/b/memory.max": "900\n",
		}, 0},
		"version 1": {map[string]string{
			"proc/self/mountinfo": mountV1, "proc/self/cgroup": "9:cpu,cpuacct:/c\n5:memory:/a/b\n",
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": unlimitedV1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1,
		}, 4000},
		"version 1 beside an empty version 2": {map[string]string{
			"proc/self/mountinfo": mountV1 + "42 25 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"proc/self/cgroup":    "5:memory:/a\n0::/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4000\n",
		}, 4000},
		"a container that sees its own part": {map[string]string{
			"proc/self/mountinfo": mountV1Part, "proc/self/cgroup": "5:memory:/docker/abc/nested\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "8000\n", "sys/fs/cgroup/memory/nested/memory.limit_in_bytes": "7000\n",
		}, 7000},
		"a container that sees another name": {map[string]string{
			"proc/self/mountinfo": mountV1Part, "proc/self/cgroup": "5:memory:/kubepods/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "8000\n",
		}, 8000},
		"outside of the namespace's root": {map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/memory.max": "600\n",
		}, 600},
		"nonsense": {map[string]string{
			"proc/self/mountinfo": "x - y\n" + mountV2, "proc/self/cgroup": "0::/\nnothing\n", "sys/fs/cgroup/memory.max": "-5\n",
		}, 0},
	} {
		if got := Limit(files(c.files)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
