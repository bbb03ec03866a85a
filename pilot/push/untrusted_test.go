package push

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// suspect connects a proxy and leaves something to be suspected of it.
func suspect(t *testing.T, e *Engine, pod, identity string, what UntrustedNames) {
	t.Helper()
	reconnect(t, e, pod, identity).Close(Untrusted{resource.Listeners: what})
}

func reconnect(t *testing.T, e *Engine, pod, identity string) *Client {
	t.Helper()
	n, err := ParseNode(nodeWith("", nil))
	if err != nil {
		t.Fatal(err)
	}
	n.ID, n.Identity = pod, identity
	c, err := e.Connect(n, func(*Update) {})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOldestUntrustedGoesWhereThereAreTooMany(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{}})
	const most = 10
	e.untrusted.maxNodes = most
	pod := func(i int) string { return "p" + strconv.Itoa(i) }
	all := UntrustedNames{All: true}
	for i := range most {
		suspect(t, e, pod(i), "shop/sa", all)
	}
	suspect(t, e, pod(0), "shop/sa", all) // now the newest
	suspect(t, e, pod(most), "shop/sa", all)
	for i, want := range map[int]bool{0: true, 1: false, 2: true, most: true} {
		if got := reconnect(t, e, pod(i), "shop/sa").Untrusted() != nil; got != want {
			t.Errorf("%s suspected: %v", pod(i), got)
		}
	}
	if got := len(e.untrusted.byNode); got != most-3 || got != e.untrusted.oldest.Len() {
		t.Errorf("%d are remembered", got)
	}
}

// A caller without proof subscribes, reads and leaves, with IDs and names as long as it likes.
func TestWhatIsRememberedOfProxiesIsBoundedInBytes(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{}})
	suspect(t, e, "real", "shop/sa", UntrustedNames{All: true})
	long := strings.Repeat("x", 1<<20)
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("%0100d", i)
	}
	for i := range 200 {
		suspect(t, e, fmt.Sprint(i, long), "", UntrustedNames{Names: names})
	}
	if e.anonymous.bytes > maxUntrustedBytes/4 || len(e.anonymous.byNode) >= 200 {
		t.Errorf("%d proxies, %d bytes are remembered", len(e.anonymous.byNode), e.anonymous.bytes)
	}
	suspect(t, e, "large", "shop/sa", UntrustedNames{Names: []string{long, long, long}})
	if got := reconnect(t, e, "large", "shop/sa").Untrusted()[resource.Listeners]; !got.All || got.Names != nil {
		t.Errorf("of one proxy are remembered %d names, everything: %v", len(got.Names), got.All)
	}
	if reconnect(t, e, "real", "").Untrusted() != nil {
		t.Error("a caller without proof gets what is remembered of a proxy with one")
	}
	if reconnect(t, e, "real", "shop/other").Untrusted() != nil {
		t.Error("another identity gets what is remembered of a proxy")
	}
	if reconnect(t, e, "real", "shop/sa").Untrusted() == nil {
		t.Error("callers without proof pushed out what is remembered of a proxy with one")
	}
}
