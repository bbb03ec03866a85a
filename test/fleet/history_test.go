package fleet

import (
	"fmt"
	"strings"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// history is what passed the gate, for whoever asks why a request failed.
type history struct {
	mu     sync.Mutex
	events map[string][]event // by node
}

// event is one message in a few words.
type event struct {
	at   time.Time
	text string
}

// note takes down a message and what became of it.
func (h *history) note(x *envoytest.Exchange, verdict envoytest.Verdict) {
	text := ""
	if r := x.Request; r != nil {
		typ, _ := resource.ByURL(r.GetTypeUrl())
		text = fmt.Sprintf("> %s %s sub=%v unsub=%v claims=%d %s", typ, r.GetResponseNonce(), r.GetResourceNamesSubscribe(),
			r.GetResourceNamesUnsubscribe(), len(r.GetInitialResourceVersions()), r.GetErrorDetail().GetMessage())
	} else {
		typ, _ := resource.ByURL(x.Response.GetTypeUrl())
		text = fmt.Sprintf("< %s %s %v removed=%v verdict=%d", typ, x.Response.GetNonce(), names(x.Response), x.Response.GetRemovedResources(), verdict)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events[x.Link.Node] = append(h.events[x.Link.Node], event{time.Now(), text})
}

func names(r *discoveryv3.DeltaDiscoveryResponse) []string {
	var out []string
	for _, res := range r.GetResources() {
		out = append(out, res.GetName())
	}
	return out
}

// around shows what passed for a node in the three seconds before a time, and a little after.
func (h *history) around(node string, at time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, e := range h.events[node] {
		if d := at.Sub(e.at); d < 3*time.Second && d > -100*time.Millisecond {
			fmt.Fprintln(&b, e.at.Format("15:04:05.000"), e.text)
		}
	}
	return b.String()
}
