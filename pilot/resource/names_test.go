package resource

import (
	"runtime"
	"slices"
	"strconv"
	"testing"
)

func named(p *NamesPool, names ...string) *Names {
	return p.Of(func(yield func([]byte) bool) {
		for _, n := range names {
			if !yield([]byte(n)) {
				return
			}
		}
	})
}

func TestEqualNamesAreOneObject(t *testing.T) {
	p := NewNamesPool()
	abc := named(p, "b", "a", "c")
	if !slices.Equal(slices.Collect(abc.All()), []string{"a", "b", "c"}) || abc.Len() != 3 || !abc.Has("b") || abc.Has("d") {
		t.Fatalf("got %v", slices.Collect(abc.All()))
	}
	for what, same := range map[string]*Names{
		"another order": named(p, "c", "b", "a"), "a name twice": named(p, "c", "a", "b", "a"),
		"one added":          p.Change(named(p, "a", "c"), []string{"b", "b"}, nil),
		"one taken away":     p.Change(named(p, "a", "b", "c", "d"), nil, []string{"d", "none"}),
		"one for another":    p.Change(named(p, "a", "b", "x"), []string{"c"}, []string{"x"}),
		"added and gone":     p.Change(abc, []string{"y"}, []string{"y"}),
		"from nothing":       p.Change(nil, []string{"a", "b", "c"}, nil),
		"what it has before": p.Change(abc, []string{"a"}, nil),
	} {
		if same != abc {
			t.Errorf("%s: got %v of its own", what, slices.Collect(same.All()))
		}
	}
	if named(p) != nil || p.Change(named(p, "a"), nil, []string{"a"}) != nil {
		t.Error("no names are not nil")
	}
	added, gone := named(p, "a", "b").Compare(named(p, "b", "c"))
	if !slices.Equal(added, []string{"c"}) || !slices.Equal(gone, []string{"a"}) {
		t.Errorf("added %v, gone %v", added, gone)
	}
}

func TestKnownNamesCostNothing(t *testing.T) {
	p := NewNamesPool()
	var list []string
	for i := range 1000 {
		list = append(list, "svc-"+strconv.Itoa(i))
	}
	wire := make([][]byte, len(list))
	for i, n := range list {
		wire[i] = []byte(n)
	}
	kept := p.Of(slices.Values(wire))
	if n := testing.AllocsPerRun(10, func() { p.Of(slices.Values(wire)) }); n > 3 {
		t.Errorf("%v allocations for names that are known", n)
	}
	runtime.KeepAlive(kept)
}
