package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// PILOT_HTTP10 makes every proxy one that asks for HTTP/1.0 itself, in what it sends as well.
func TestHTTP10OfAllProxiesIsThatOfOne(t *testing.T) {
	r := read(t, "")
	one := &model.Proxy{Type: model.SidecarProxy, Namespace: "default"}
	asking := *one
	asking.HTTP10 = true
	all, some, none := resolve.Classify(r, one), resolve.Classify(r, &asking), resolve.Classify(r, one)
	all = all.With(resolve.Settings{HTTP10: true})
	if some = some.With(resolve.Settings{}); all.Key != some.Key {
		t.Errorf("the classes differ: %+v, %+v", all, some)
	}
	if all.Outbound().Key == none.Outbound().Key {
		t.Error("what they send is as of those that do not ask")
	}
}
