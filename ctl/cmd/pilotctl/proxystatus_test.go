package main

import (
	"errors"
	"testing"
)

// A proxy that refuses something has proxy-status end as its help says; one that is only behind does not.
func TestProxyStatusTellsOfRefusalsByItsExitCode(t *testing.T) {
	for state, want := range map[string]int{"SYNCED": 0, "STALE": 0, "ERROR": exitDiffers} {
		err := refusing([]byte(`[{"proxy":"a.default","types":{"cds":{"state":"SYNCED"},"lds":{"state":"` + state + `"}}}]`))
		var exit *exitError
		if got := errors.As(err, &exit); got != (want != 0) || got && exit.code != want {
			t.Errorf("%s: %v, want exit code %d", state, err, want)
		}
	}
}
