package process

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestMeasuresAnotherProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.Context(), filepath.Join(t.TempDir(), "log"), shell, "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(true)
	var used time.Duration
	for used < 20*time.Millisecond {
		if used, err = p.CPU(); err != nil {
			t.Fatal(err)
		}
	}
	m, err := p.Memory()
	if err != nil || m.RSS <= 0 || m.PeakRSS < m.RSS {
		t.Errorf("memory %+v, %v", m, err)
	}
	p.Stop(true)
	select {
	case <-p.Exited():
		if got := p.Fate(); got != "signal: killed" {
			t.Errorf("it ended by %q", got)
		}
	default:
		t.Error("it runs after Stop")
	}
}
