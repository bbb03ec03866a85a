package resolve

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// chain is a mesh of one service "0", for which alias "1" stands, for which "2" stands, and so on. It counts what is
// read of them.
type chain struct {
	Reader
	length, reads int
}

func (c *chain) Service(_, host string) *model.Service {
	if host == "0" {
		return &model.Service{Hostname: host}
	}
	return nil
}

func (c *chain) Aliases(_, host string) []string {
	c.reads++
	var n int
	if _, err := fmt.Sscan(host, &n); err != nil || n >= c.length {
		return nil
	}
	return []string{fmt.Sprint(n + 1)}
}

func (c *chain) AliasTarget(_, host string) string {
	c.reads++
	var n int
	if _, err := fmt.Sscan(host, &n); err != nil || n == 0 {
		return ""
	}
	return fmt.Sprint(n - 1)
}

// However long a chain of aliases, only so many look at each other, and both directions agree about which count.
func TestChainsOfAliasesAreBounded(t *testing.T) {
	c := &chain{length: 10_000}
	known := aliases(c, "a", "0")
	if len(known) != aliasHops {
		t.Errorf("%d hosts stand for the service", len(known))
	}
	for n := range 2 * aliasHops {
		host := fmt.Sprint(n)
		if leads := concrete(c, "a", host) == "0"; leads != (n == 0 || slices.Contains(known, host)) {
			t.Errorf("alias %s leads to the service: %v", host, leads)
		}
	}
	c.reads = 0
	if concrete(c, "a", "9999"); c.reads > aliasHops {
		t.Errorf("%d aliases are read", c.reads)
	}
}
