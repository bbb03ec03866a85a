package ads_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
)

// expect waits for requests in order; others between them are an error.
func (f *fake) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-f.asked:
			if got != w {
				t.Fatalf("the client sends %q, want %q", got, w)
			}
		case <-time.After(time.Minute):
			t.Fatalf("the client does not send %q", w)
		}
	}
}

func synced(t *testing.T, f *ads.Fleet) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); f.InSync() < f.Len(); {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients have everything", f.InSync(), f.Len())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestADeltaClientAsksInTheOrderOfAnEnvoy(t *testing.T) {
	server, address := serve(t)
	f := newFleet(t, 1, false)
	connect(t, f, address)
	server.expect(t, "cds []", "eds ["+clusterName+"]", "ack eds", "ack cds", "lds []", "ack lds", "sds ["+secretName+"]", "rds [80]", "ack sds", "ack rds")
	synced(t, f)
	f.Disconnect()
	connect(t, f, address)
	server.expect(t, "cds [] has ["+clusterName+" static]", "eds ["+clusterName+"] has ["+clusterName+"]",
		"lds [] has [0.0.0.0_80]", "rds [80] has [80]", "sds ["+secretName+"] has ["+secretName+"]")
}

func TestClustersAreAcknowledgedWhenTheyAreWarm(t *testing.T) {
	server, address := serve(t)
	server.hold["eds"] = true
	f := newFleet(t, 1, false)
	connect(t, f, address)
	server.expect(t, "cds []", "eds ["+clusterName+"]")
	select {
	case got := <-server.asked:
		t.Fatalf("the client sends %q before the endpoints have come", got)
	case <-time.After(50 * time.Millisecond):
	}
	if err := sendDelta(server.streams[0], "eds", "1"); err != nil {
		t.Fatal(err)
	}
	server.expect(t, "ack eds", "ack cds", "lds []")
}

func TestSotW(t *testing.T) {
	server, address := serve(t)
	f := newFleet(t, 1, true)
	connect(t, f, address)
	server.expect(t, "cds []", "eds ["+clusterName+"]", "ack eds veds ["+clusterName+"]", "ack cds vcds []", "lds []",
		"ack lds vlds []", "sds ["+secretName+"]", "rds [80]", "ack sds vsds ["+secretName+"]", "ack rds vrds [80]")
	synced(t, f)
}

func TestAMarkIsReachedWhenAllHaveAcknowledged(t *testing.T) {
	server, address := serve(t)
	f := newFleet(t, 20, false)
	connect(t, f, address)
	synced(t, f)
	before := f.Stats()
	mark, start := f.Watch(ads.Endpoints, clusterName, 20), time.Now()
	f.Stall(10) // two of them
	server.mu.Lock()
	streams := slices.Clone(server.streams)
	server.mu.Unlock()
	for _, st := range streams {
		if err := sendDelta(st, "eds", "2"); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-mark.Reached():
		t.Fatal("stalled clients acknowledge")
	case <-time.After(100 * time.Millisecond):
	}
	if n := mark.Count(); n != 18 {
		t.Errorf("%d clients acknowledged, want 18", n)
	}
	f.Stall(0)
	select {
	case <-mark.Reached():
	case <-time.After(time.Minute):
		t.Fatalf("%d clients acknowledged", mark.Count())
	}
	delays := mark.Delays(start)
	if len(delays) != 20 || delays[0] <= 0 || delays[19] < 100*time.Millisecond {
		t.Errorf("delays %v", delays)
	}
	if s := f.Stats(); s.Messages-before.Messages != 20 || s.Down <= before.Down || s.Up <= before.Up {
		t.Errorf("counts %+v after %+v", s, before)
	}
}

func TestATapeHoldsTheBytes(t *testing.T) {
	_, address := serve(t)
	f := newFleet(t, 2, false)
	tape := f.Record(1)
	connect(t, f, address)
	synced(t, f)
	var got []string
	var size int64
	for _, frame := range tape.Frames() {
		got = append(got, frame.Kind.String())
		size += int64(len(frame.Bytes))
	}
	if !slices.Equal(got, []string{"cds", "eds", "lds", "sds", "rds"}) {
		t.Errorf("frames %v", got)
	}
	if all := f.Stats().Down; size*2 != all {
		t.Errorf("%d bytes on one of two tapes, %d in all", size, all)
	}
}

func connect(t *testing.T, f *ads.Fleet, address string) {
	t.Helper()
	if err := f.Connect(t.Context(), address); err != nil {
		t.Fatal(err)
	}
}
