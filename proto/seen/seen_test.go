package seen

import (
	"fmt"
	"strings"
	"testing"
)

func TestTextIsReadBack(t *testing.T) {
	v := Of(map[string]string{"pods": "10", "virtualservices.networking.istio.io": "9", "services": "123456789012345678901234567890"})
	back, err := Parse(v.String())
	if err != nil || back.String() != v.String() || len(back) != 3 {
		t.Errorf("%q was read as %q, %v", v, back, err)
	}
	if none, err := Parse(""); err != nil || len(none) > 0 {
		t.Errorf("nothing was read as %q, %v", none, err)
	}
}

// kinds is the text of some kinds with names of a length.
func kinds(n, length int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%0*d=1", length, i)
	}
	return strings.Join(out, ",")
}

func TestAsManyAsThereMayBe(t *testing.T) {
	for _, text := range []string{kinds(maxKinds, 4), kinds(MaxText/(maxKind+3), maxKind), "pods=" + strings.Repeat("1", maxVersion)} {
		if v, err := Parse(text); err != nil || v.String() != text {
			t.Errorf("%.40q was read as %.40q, %v", text, v, err)
		}
	}
	all, err := Parse(kinds(maxKinds, 4))
	if err != nil {
		t.Fatal(err)
	}
	if got := all.With(Versions{{"z", "1"}}); len(got) != maxKinds || got.Of("z") != "1" {
		t.Errorf("with a new kind there are %d, want %d, and the new one is of %q", len(got), maxKinds, got.Of("z"))
	}
}

func TestNothingElseIsTaken(t *testing.T) {
	for _, text := range []string{
		"pods", "pods=", "=1", "pods=01", "pods=0", "pods=-1", "pods=1,", "pods=1,pods=2", "Pods=1", "pods=1 2", "pods=1;services=2",
		`{"Component":"istiod"}`, "pods=" + strings.Repeat("1", maxVersion+1), strings.Repeat("p", maxKind+1) + "=1",
		kinds(maxKinds+1, 4), kinds(MaxText/maxKind+1, maxKind),
	} {
		if v, err := Parse(text); err == nil {
			t.Errorf("%.40q was read as %q", text, v)
		}
	}
}

func TestVersionsAreComparedAsNumbersOfAnyLength(t *testing.T) {
	long := strings.Repeat("9", 30)
	for _, c := range []struct{ less, more string }{{"9", "10"}, {"", "1"}, {"99", "100"}, {long, "1" + long}, {"18446744073709551615", "18446744073709551616"}} {
		if Compare(c.less, c.more) >= 0 || Compare(c.more, c.less) <= 0 || Compare(c.more, c.more) != 0 {
			t.Errorf("%q is not before %q", c.less, c.more)
		}
	}
}

func TestOnlyWhatIsOtherIsToldAgain(t *testing.T) {
	read := func(text string) Versions {
		v, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ former, now, since string }{
		{"", "a=1,b=2", "a=1,b=2"},
		{"a=1,b=2", "a=1,b=2", ""},
		{"a=1,b=2", "a=1,b=3", "b=3"},
		{"b=2", "a=1,b=2,c=3", "a=1,c=3"},
		{"a=1,b=2", "b=1", "b=1"},
	} {
		since := read(c.now).Since(read(c.former))
		if since.String() != c.since {
			t.Errorf("from %q to %q are %q, wanted %q", c.former, c.now, since, c.since)
		}
	}
	for _, c := range []struct {
		v, others string
		cover     bool
	}{{"", "", true}, {"a=1,c=3", "", true}, {"a=10,c=3", "a=9,c=3", true}, {"a=10,c=3", "c=4", false}, {"a=10,c=3", "b=1", false}, {"", "a=1", false}, {"a=1", "a=1,b=1", false}} {
		if got := read(c.v).Cover(read(c.others)); got != c.cover {
			t.Errorf("%q cover %q: %v", c.v, c.others, got)
		}
	}
	for kind, want := range map[string]string{"a": "1", "b": "", "c": "3", "": "", "d": ""} {
		if got := read("a=1,c=3").Of(kind); got != want {
			t.Errorf("the version of %q is %q", kind, got)
		}
	}
	if got := read("a=1,c=3").With(read("b=2,c=2")).String(); got != "a=1,b=2,c=2" {
		t.Errorf("put together are %s", got)
	}
}
