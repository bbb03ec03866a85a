package yamldoc_test

import (
	"testing"

	"go.yaml.in/yaml/v3"
	sigs "sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// Whichever parser says it, a fault has the line that it has in the file.
func TestAFaultHasItsLineInTheFile(t *testing.T) {
	for name, tc := range map[string]struct {
		text     string
		from, to int // the line on which it begins, and the one on which the parser notices
	}{
		"a brace":     {"a: 1\n---\n# c\nb: 2\nc: {d\ne: 3\n", 5, 6},
		"a tab":       {"a: 1\n---\nb: 2\n\tc: 3\n", 4, 4},
		"a mapping":   {"a: 1\n--- # two\nb: 2\nc: d: e\n", 4, 4},
		"an indent":   {"a: 1\n---\nb:\n  - x\n y: 1\n", 4, 5},
		"a first one": {"a: {b\nc: d\n", 1, 2},
		"twice":       {"a: 1\n---\nb: 1\nc: 2\nb: 3\n", 5, 5},
	} {
		for parser, parse := range map[string]func([]byte) error{
			"yaml": func(text []byte) error { return yaml.Unmarshal(text, &map[string]any{}) },
			"sigs": func(text []byte) error { return sigs.UnmarshalStrict(text, &map[string]any{}) },
		} {
			found := false
			err := yamldoc.Each([]byte(tc.text), func(d yamldoc.Document) error {
				if err := parse(d.Text); err != nil {
					found = true
					if line, what := d.Fault(err); line < tc.from || line > tc.to {
						t.Errorf("%s: %s says %q, which is told of line %d (%s), want %d to %d", name, parser, err, line, what, tc.from, tc.to)
					}
				}
				return nil
			})
			if err != nil || !found {
				t.Errorf("%s: %s finds nothing (%v)", name, parser, err)
			}
		}
	}
}
