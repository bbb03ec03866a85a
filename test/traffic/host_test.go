package traffic

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// Where the resources alone tell a host's address, as in a saved dump, a call there fares as one to the address that
// DNS gives. Where they do not tell it, explain asks for it.
func TestHostsOfADump(t *testing.T) {
	found, asked := 0, 0
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			for _, call := range c.Calls {
				if call.unpredictable() || call.Way != explain.Outbound || call.To != "" {
					continue
				}
				_, text, _ := strings.Cut(" "+call.Call, " ")
				if _, rest, ok := strings.Cut(text, " "); ok {
					text = rest
				}
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				port := call.request.Destination.Port()
				at, _, err := explained(c.resources[call.From]).Find(u.Hostname(), c.proxy(call.From).Namespace, port)
				if err != nil {
					asked++
					if !strings.Contains(err.Error(), "--to") || !strings.Contains(err.Error(), call.request.Destination.Addr().String()) {
						t.Errorf("%s (from %s): %v", call.Call, call.From, err)
					}
					continue
				}
				found++
				r := call.request
				r.Destination = netip.AddrPortFrom(at, port)
				a := explained(c.resources[call.From]).Explain(r)
				if d := call.differ(call.predicted(a)); len(d) > 0 {
					t.Errorf("%s (from %s), found at %s in place of %s:\n\t%s", call.Call, call.From, at, call.request.Destination, strings.Join(d, "\n\t"))
				}
			}
		})
	}
	if found < 300 || asked == 0 {
		t.Errorf("%d hosts were found and %d asked for", found, asked)
	}
	t.Logf("%d found, %d asked for", found, asked)
}
