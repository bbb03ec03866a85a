package xds

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// TestConnectionsAreReadDuringCommits reads all that a Connection tells while states are applied. The engine tells
// streams of them under its mutex, so a reader that asks the engine under a stream's would stop both for ever.
func TestConnectionsAreReadDuringCommits(t *testing.T) {
	const states = 2000
	m := newMesh(t, listener("l", "0"))
	c := m.connect(false, 8)
	c.subscribe(resource.Listeners)
	c.ack(<-c.out)
	read, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		for {
			for _, c := range m.server.Connections() {
				c.Acknowledged(resource.Listeners, "l")
				for range c.Held() {
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	applied := make(chan error, 1)
	go func() {
		for i := range states {
			commit := push.Commit{Translator: xdstest.Table{listener("l", strconv.Itoa(i))}}
			if err := m.engine.Apply(context.Background(), commit); err != nil {
				applied <- err
				return
			}
		}
		applied <- nil
	}()
	for left := time.After(5 * time.Minute); ; {
		select {
		case r := <-c.out:
			c.ack(r)
			continue
		case err := <-applied:
			if err != nil {
				t.Error(err)
			}
		case <-left:
			t.Fatal("readers and commits wait for each other")
		}
		break
	}
	close(stop)
	<-read
	c.close()
	<-c.ended
	m.server.Wait()
}
