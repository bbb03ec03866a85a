package xds

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// A change that comes while a stream ends waits for nothing of it.
func TestAChangeDoesNotWaitForAStreamThatIsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var over []*trace.Record
		recorder := trace.New(trace.Options{Deliver: func(r *trace.Record) { over = append(over, r) }})
		m := newMesh(t, listener("l", "a"))
		c := m.connect(false, 8)
		c.ask(resource.Listeners, query{})
		c.ack(c.expect(resource.Listeners, "l"))
		synctest.Wait()
		for _, st := range m.server.allStreams() {
			st.end() // it has not left the engine yet
		}
		if err := m.engine.Apply(t.Context(), push.Commit{
			Translator: xdstest.Table{listener("l", "b")}, Since: time.Now(), Change: recorder.Begin(trace.Event{}),
		}); err != nil {
			t.Fatal(err)
		}
		if len(over) != 1 || over[0].Acknowledgements.Concerned != 0 {
			t.Errorf("over are %+v", over)
		}
		m.stop(c)
		recorder.Close()
	})
}
