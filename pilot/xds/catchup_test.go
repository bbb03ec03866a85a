package xds

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// Whoever proves nothing is not waited for, whatever it says that was seen, and is not told either.
func TestWhoProvesNothingIsNotBelievedWhatWasSeen(t *testing.T) {
	for _, account := range []string{"", "app"} {
		bubble(t, func(t *testing.T) {
			m := newMesh(t)
			told := seen.Of(map[string]string{"pods": "5"})
			if err := m.engine.Apply(t.Context(), push.Commit{Translator: xdstest.Table{listener("l", "a")}, Since: time.Now(), Seen: told}); err != nil {
				t.Fatal(err)
			}
			asked := ""
			m.server.opts.CatchUp = func(_ context.Context, to seen.Versions) CatchUp {
				asked = to.String()
				return CatchUp{}
			}
			m.says = metadata.Pairs(seen.Header, "pods=3")
			c := m.connectAs(account, "192.0.2.1")
			c.ask(resource.Listeners, query{})
			r := c.expect(resource.Listeners, "l")
			wanted, said := "", ""
			if account != "" {
				wanted, said = "pods=3", "pods=5"
			}
			if asked != wanted || r.seen != said {
				t.Errorf("account %q: waited for %q, told %q", account, asked, r.seen)
			}
			m.stop(c)
		})
	}
}
