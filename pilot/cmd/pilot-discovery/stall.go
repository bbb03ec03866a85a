package main

import (
	"io"
	"log/slog"
	"runtime/pprof"
	"time"
)

// dumpTime is how long the goroutines may take to be written: where a blocked output is why the process stands still,
// they never are.
const dumpTime = 10 * time.Second

// giveUp ends a process that stands still, so that it is started again. Where its goroutines stand is written first:
// nothing else tells why. Proxies keep what they have and come back.
func giveUp(out io.Writer, log *slog.Logger, limit time.Duration, exit func(code int)) {
	defer time.AfterFunc(limit, func() { exit(1) }).Stop()
	log.Error("the control plane stands still and ends itself; where its goroutines stand follows, please report it")
	if err := pprof.Lookup("goroutine").WriteTo(out, 2); err != nil {
		log.Error("its goroutines cannot be written", "error", err)
	}
	exit(1)
}
