package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is where it was measured.
type Machine struct {
	CPUs   int    `json:"cpus"`
	CPU    string `json:"cpu"`
	Memory int64  `json:"memory"` // bytes
	OS     string `json:"os"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.CPU = procValue("/proc/cpuinfo", "model name")
	var kb int64
	if _, err := fmt.Sscanf(procValue("/proc/meminfo", "MemTotal"), "%d", &kb); err == nil {
		m.Memory = kb << 10
	}
	return m
}

// String says it in one line, for titles.
func (m Machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %.0f GB, %s", m.CPUs, m.CPU, float64(m.Memory)/(1<<30), m.OS)
}

func procValue(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
