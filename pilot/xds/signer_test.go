package xds

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/signer"
)

// TestAgentsTellOfTheirCertificates keeps what an agent says last, which has no answer.
func TestAgentsTellOfTheirCertificates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "a"))
		c := m.connect(false, 8)
		c.ask(resource.Listeners, query{})
		for said, want := range map[string]string{"root": "root", "": "", strings.Repeat("x", 1000): strings.Repeat("x", signer.MaxText) + "…"} {
			c.askURL(signer.Type, query{refused: true, detail: said})
			synctest.Wait()
			all := m.server.Connections()
			if len(all) != 1 || all[0].Signer != want {
				t.Errorf("after %.10q: %+v", said, all)
			}
		}
		if len(c.out) != 1 {
			t.Errorf("%d answers, want the one to listeners", len(c.out))
		}
		m.stop(c)
	})
}
