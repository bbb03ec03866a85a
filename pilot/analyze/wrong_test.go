package analyze_test

import (
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
)

// All that is wrong with an object is told at once: what its schema does not have, and of the rest what makes no sense.
func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	const head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\n"
	for name, c := range map[string]struct {
		text string
		want []string // fields
	}{
		"of several kinds": {
			head + "spec:\n  hosts: [shop, 'a b']\n  http:\n  - tiemout: 1s\n    timeout: soon\n    route: [{destination: {host: shop}, weight: -1}]\n" +
				"  - route: [{destination: {host: shop}, weight: many}]\n  - match: [{uri: {regex: '('}}]\n    route: [{destination: {host: shop}}]\n",
			[]string{"spec.hosts[1]", "spec.http[0].tiemout", "spec.http[0].timeout", "spec.http[0].route[0].weight", "spec.http[1].route[0].weight", "spec.http[2].match[0].uri.regex"},
		},
		"and not what follows": {
			head + "spec:\n  hsots: [shop]\n  http:\n  - rout: [{destination: {host: shop}}]\n",
			[]string{"spec.hsots", "spec.http[0].rout"},
		},
		"a list of other things": {
			head + "spec:\n  hosts: [1, shop]\n  gateways: [mesh, 2]\n  http: [{route: [{destination: {host: ''}}]}]\n",
			[]string{"spec.hosts[0]", "spec.gateways[1]", "spec.http[0].route[0].destination.host"},
		},
		"an item of a list": {
			head + "spec:\n  hosts: [shop]\n  http:\n  - a text\n  - route: [{destination: {host: ''}}]\n", []string{"spec.http[0]"},
		},
		"beside the spec": {
			head + "sepc: {}\nspec: {hosts: ['a b'], http: [{route: [{destination: {host: shop}}]}]}\n", []string{"sepc", "spec.hosts[0]"},
		},
		"in the place of the spec": {head + "sepc: {hosts: [shop]}\n", []string{"sepc"}},
	} {
		var fields []string
		for _, f := range analyze.Objects([]analyze.File{{Name: "f", Data: []byte(c.text)}}) {
			if f.Level == analyze.Error {
				fields = append(fields, f.Field)
			}
		}
		slices.Sort(fields)
		slices.Sort(c.want)
		if !slices.Equal(fields, c.want) {
			t.Errorf("%s: %q, want %q", name, fields, c.want)
		}
	}
}
