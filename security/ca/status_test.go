package ca_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// counted is a Store in memory that counts its writes.
type counted struct {
	files  map[string][]byte
	writes int
}

func (s *counted) Read(context.Context) (map[string][]byte, error) { return maps.Clone(s.files), nil }

func (s *counted) Write(_ context.Context, changes []ca.Change) error {
	s.writes++
	for _, c := range changes {
		if s.files[c.Name] = c.Data; c.Data == nil {
			delete(s.files, c.Name)
		}
	}
	return nil
}

// Proxies come and go all the time while a rotation waits. The list of them is written now and then, and an answer or
// a stage at once.
func TestTheListOfTheWaitingIsWrittenNowAndThen(t *testing.T) {
	files, err := ca.SelfSigned(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, now, proxy := &counted{files: files}, time.Now(), 0
	r := ca.NewRotation(ca.RotationOptions{
		Options: ca.Options{Clock: func() time.Time { return now }, Own: true}, Store: store, Logger: slog.New(slog.DiscardHandler),
		Proxies: func(context.Context) []ca.Heard {
			proxy++ // another one each time
			var h ca.Heard
			h.Add(fmt.Sprintf("p-%d.default", proxy), nil, "")
			return []ca.Heard{h}
		},
	})
	look := func() ca.Status {
		t.Helper()
		if _, err := r.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Second)
		s, answered, found, err := ca.Answered(store.files)
		if err != nil || !answered || !found {
			t.Fatalf("answered %v, found %v, %v", answered, found, err)
		}
		return s
	}
	ask := func(s ca.Step) ca.Status {
		t.Helper()
		c := ca.Requested(s)
		store.files[c.Name] = c.Data
		return look()
	}
	look()
	if s := ask(ca.Start); s.Stage != ca.Distributing || len(s.Waiting) != 1 {
		t.Fatalf("started: %+v", s)
	}
	store.writes = 0
	for range 150 { // five minutes
		look()
	}
	if store.writes < 9 || store.writes > 10 {
		t.Errorf("written %d times in five minutes, want each 30 s", store.writes)
	}
	last := look()
	if s := ask(ca.Sign); s.Refused == "" || s.Waiting[0].Lacking.String() == last.Waiting[0].Lacking.String() {
		t.Errorf("an answer is of now: %+v", s)
	}
	for range 2 { // the same answer is one too
		if s := ask(ca.Start); s.Request != ca.Start || s.Refused == "" {
			t.Errorf("started twice: %+v", s)
		}
	}
}
