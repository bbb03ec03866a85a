// Package trap holds what came of a test against what would come of it in a mesh that falls into one of the traps of
// test/traffic/testdata/traps.yaml. It is for traps that no call shows.
package trap

import (
	"reflect"
	"testing"
)

// Apart fails a test in which the product answers as a mesh does that falls into the named trap. What the answer is to be
// instead, the test says itself.
func Apart[T any](t testing.TB, name string, got, fallen T) {
	t.Helper()
	if reflect.DeepEqual(got, fallen) {
		t.Errorf("%v: this is what comes of the trap %s", got, name)
	}
}
