package xds

import (
	"runtime"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// What a client keeps alive that does not read, or does not acknowledge, does not grow with what has
// changed meanwhile.
func TestStalledClientKeepsLittleAlive(t *testing.T) {
	const versions, most = 200, 40 // in flight, remembered differences, and what can be gone back to
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), xdstest.Assignment("a", 1))
		var clients []*client
		for _, buffer := range []int{0, 2 * versions} {
			c := m.connect(false, buffer)
			c.subscribe(resource.Listeners)
			c.subscribe(resource.Clusters)
			c.subscribe(resource.Endpoints, "a")
			clients = append(clients, c)
		}
		var sent []weak.Pointer[resource.Resource]
		for i := range versions {
			m.set(cluster("a", 2+i), xdstest.Assignment("a", uint32(2+i)))
			synctest.Wait()
			for _, typ := range []resource.Type{resource.Clusters, resource.Endpoints} {
				sent = append(sent, weak.Make(m.server.Connections()[0].View.Set(typ).Get("a")))
			}
		}
		for _, c := range clients { // what the test itself holds is no matter of the server
			for len(c.out) > 0 {
				<-c.out
			}
		}
		runtime.GC()
		runtime.GC()
		alive := 0
		for _, r := range sent {
			if r.Value() != nil {
				alive++
			}
		}
		if alive > most {
			t.Errorf("%d of %d versions are alive", alive, len(sent))
		}
		m.stop(clients...)
	})
}
