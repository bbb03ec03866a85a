package locality

import "testing"

func TestTheNewLabelCountsBeforeTheOldOne(t *testing.T) {
	for want, labels := range map[string]map[string]string{
		"new": {Label: "new", OldLabel: "old"},
		"old": {OldLabel: "old"},
		"":    {Label: "", OldLabel: "old"},
	} {
		if got := Text(labels); got != want {
			t.Errorf("%v: %q, want %q", labels, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                {},
		"eu":              {"eu", "", ""},
		"eu.eu-1":         {"eu", "eu-1", ""},
		"eu.eu-1.a":       {"eu", "eu-1", "a"},
		"eu.eu-1.a.b":     {"eu", "eu-1", "a.b"},
		"eu.west/eu-1":    {"eu.west", "eu-1", ""},
		"eu/eu-1/a.b/c":   {"eu", "eu-1", "a.b/c"},
		".eu-1":           {"", "eu-1", ""},
		"/eu-1":           {"", "eu-1", ""},
		"eu.west.1/b/c.d": {"eu.west.1", "b", "c.d"},
	} {
		region, zone, subZone := Parse(text)
		if got := [3]string{region, zone, subZone}; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
