package envoy

import (
	"strconv"
	"time"
)

// Options are what Envoy is told on its command line.
type Options struct {
	// Bootstrap is the path of its configuration.
	Bootstrap string
	// Override is further configuration, YAML, which Envoy merges over the file.
	Override string
	// DrainDuration is how long a removed listener drains.
	DrainDuration time.Duration
	// IPv6 says that the pod's first address is IPv6.
	IPv6 bool
	// LogLevel, such as warning, and ComponentLogLevel, such as misc:error.
	LogLevel, ComponentLogLevel string
	// Concurrency is the number of workers; 0 is one for each core.
	Concurrency int
	// FlushInterval and FlushKB say when access logs go to their files; 0 is a second and Envoy's 64 KiB.
	FlushInterval time.Duration
	FlushKB       int
}

// Override gives the arguments for further configuration; none for "".
func Override(text string) []string {
	if text == "" {
		return nil
	}
	return []string{"--config-yaml", text}
}

// Args gives Envoy's arguments.
func Args(o Options) []string {
	version := "v4"
	if o.IPv6 {
		version = "v6"
	}
	flush := o.FlushInterval
	if flush == 0 {
		flush = time.Second
	}
	args := []string{
		"-c", o.Bootstrap,
		"--drain-time-s", strconv.Itoa(int(o.DrainDuration.Round(time.Second) / time.Second)),
		"--drain-strategy", "immediate",
		"--local-address-ip-version", version,
		"--file-flush-interval-msec", strconv.FormatInt(flush.Milliseconds(), 10),
		// Two Envoys on one machine would otherwise fight for one shared memory region.
		"--disable-hot-restart",
		"--allow-unknown-static-fields",
		"--skip-deprecated-logs",
	}
	if o.FlushKB > 0 {
		args = append(args, "--file-flush-min-size-kb", strconv.Itoa(o.FlushKB))
	}
	if o.LogLevel != "" {
		args = append(args, "-l", o.LogLevel)
	}
	if o.ComponentLogLevel != "" {
		args = append(args, "--component-log-level", o.ComponentLogLevel)
	}
	args = append(args, Override(o.Override)...)
	if o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(o.Concurrency))
	}
	return args
}
