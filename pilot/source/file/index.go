package file

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// index knows by key who defines an object, so that a file's change is followed at the cost of
// the file's own objects. Within a directory the first definition counts, in the order of file
// names; a later directory's object replaces an earlier one's.
type index struct {
	settle time.Duration // how long an object is missing before that is its deletion
	keys   map[model.Key]*definition
	// touched holds the keys of which a claim changed since the last take.
	touched map[model.Key]struct{}
	// missing holds the keys of objects that are in effect although nobody defines them any more, with
	// the time at which that was found.
	missing map[model.Key]time.Time
	// waiting holds the keys of missing objects that were the last of their directory. They stay in
	// effect until it is confirmed that it may be empty.
	waiting map[model.Key]struct{}
	// complaints are the problems of each file or directory that has some, by path; contested the
	// keys that are defined twice in a directory.
	complaints map[string][]model.Problem
	contested  map[model.Key]struct{}
	mirrors    mirrors
	// unsorted tells that problems has to be made anew.
	unsorted bool
	problems []model.Problem // sorted, never written after it was made
}

// definition is all that is known of a key.
type definition struct {
	claims []claim       // in the order of directories and names
	told   *model.Object // what is in effect, nil for none; a denial has another key
	dir    int           // the directory of the claim that was withdrawn last
}

// claim is one file's word about a key.
type claim struct {
	file   *file
	object *model.Object // nil for one that is there but cannot take effect
	denial *model.Object // is in effect in its place as long as there is none, nil for none
	held   bool          // the file does not give the object any more
}

func newIndex(settle time.Duration) index {
	return index{
		settle: settle, keys: map[model.Key]*definition{}, touched: map[model.Key]struct{}{}, missing: map[model.Key]time.Time{},
		waiting:    map[model.Key]struct{}{},
		complaints: map[string][]model.Problem{}, contested: map[model.Key]struct{}{},
		mirrors: mirrors{slices: map[model.Key]map[model.Key]struct{}{}, idle: map[model.Key]model.Problem{}},
	}
}

// replace puts a file's content in the place of the former one; either may be nil.
func (x *index) replace(f *file, old, next *content) {
	if old == next {
		return
	}
	if old == nil {
		old = &content{}
	}
	if next == nil {
		next = &content{}
	}
	x.complain(f.path, next.problems)
	if slices.Equal(old.objects, next.objects) && slices.Equal(old.held, next.held) && slices.Equal(old.invalid, next.invalid) {
		return
	}
	old.keys(func(key model.Key) { x.withdraw(key, f) })
	for _, o := range next.objects {
		x.claim(o.Key, claim{file: f, object: o})
	}
	for _, o := range next.held {
		x.claim(o.Key, claim{file: f, object: o, held: true})
	}
	for _, r := range next.invalid {
		x.claim(r.Key, claim{file: f, denial: r.Denial})
	}
}

// keys visits the key of each claim.
func (c *content) keys(visit func(model.Key)) {
	for _, objects := range [][]*model.Object{c.objects, c.held} {
		for _, o := range objects {
			visit(o.Key)
		}
	}
	for _, r := range c.invalid {
		visit(r.Key)
	}
}

// complain sets the problems of a file or directory.
func (x *index) complain(path string, problems []model.Problem) {
	if slices.Equal(x.complaints[path], problems) {
		return
	}
	x.unsorted = true
	if len(problems) == 0 {
		delete(x.complaints, path)
	} else {
		x.complaints[path] = problems
	}
}

func (x *index) withdraw(key model.Key, f *file) {
	d := x.keys[key]
	if d == nil {
		return
	}
	d.claims = slices.DeleteFunc(d.claims, func(c claim) bool { return c.file == f })
	d.dir = f.dir
	x.touched[key] = struct{}{}
}

func (x *index) claim(key model.Key, c claim) {
	x.mirrors.add(c.object)
	d := x.keys[key]
	if d == nil {
		d = &definition{}
		x.keys[key] = d
	}
	at := len(d.claims)
	for at > 0 && compareFiles(c.file, d.claims[at-1].file) < 0 {
		at--
	}
	d.claims = slices.Insert(d.claims, at, c)
	x.touched[key] = struct{}{}
}

func compareFiles(a, b *file) int {
	return cmp.Or(cmp.Compare(a.dir, b.dir), strings.Compare(a.name, b.name))
}

// wanted gives the object that should be in effect, and whether any file has at least a broken
// form of it.
func (d *definition) wanted() (want *model.Object, there bool) {
	var from claim
	for _, c := range d.claims {
		there = true
		if c.object != nil && (want == nil || c.file.dir > from.file.dir || from.held && !c.held) {
			want, from = c.object, c
		}
	}
	return want, there
}

// denial gives what is in effect in the place of an object that no file gives in a good form: nothing
// where a former version is.
func (d *definition) denial(key model.Key) *model.Object {
	if d.told != nil && d.told.Key == key {
		return nil
	}
	for _, c := range d.claims {
		if c.denial != nil {
			return c.denial
		}
	}
	return nil
}

// become adds the events that put an object, nil for none, in the place of what is in effect.
func (d *definition) become(events []model.Event, want *model.Object) []model.Event {
	switch {
	case d.told != nil && want != nil && d.told.Key == want.Key:
		events = append(events, model.Event{Key: want.Key, Old: d.told, New: want})
	default:
		if d.told != nil {
			events = append(events, model.Event{Key: d.told.Key, Old: d.told})
		}
		if want != nil {
			events = append(events, model.Event{Key: want.Key, New: want})
		}
	}
	d.told = want
	return events
}

// conflicts adds the problems of what is defined again in a directory.
func (d *definition) conflicts(problems []model.Problem) []model.Problem {
	var first claim
	for _, c := range d.claims {
		switch {
		case c.object == nil || c.held:
		case first.object == nil || c.file.dir > first.file.dir:
			first = c
		default:
			problems = append(problems, conflict(c.object, first.object))
		}
	}
	return problems
}

func conflict(o, first *model.Object) model.Problem {
	return model.Problem{
		Object: o.Key, Severity: model.SeverityError, Reason: model.ReasonConflict, Origin: o.Origin,
		Message: fmt.Sprintf("is defined twice; %s:%d is in effect, remove one of them", first.Origin.File, first.Origin.Line),
	}
}

// take gives the events that lead from what was told to what is wanted now. A missing object is
// deleted once it was missing for long enough, unless its directory is suspect; one that is there in a
// broken form is not missing.
func (x *index) take(now time.Time, dirs []*directory) []model.Event {
	if len(x.touched)+len(x.missing)+len(x.waiting) == 0 {
		return nil
	}
	waited := len(x.waiting)
	for key := range x.touched {
		for slice := range x.mirrors.slices[key] {
			if x.keys[slice] != nil {
				x.touched[slice] = struct{}{}
			}
		}
	}
	var events []model.Event
	for key := range x.touched {
		d := x.keys[key]
		want, there := d.wanted()
		x.contest(key, d)
		if x.rest(key, want) {
			events = d.become(events, nil)
			continue
		}
		if there {
			delete(x.missing, key)
			delete(x.waiting, key)
		}
		if want == nil && there {
			want = d.denial(key)
		}
		switch _, waits := x.waiting[key]; {
		case want != nil && !sameObject(d.told, want):
			events = d.become(events, want)
		case want == nil && there && d.told != nil && d.told.Key != key:
			events = d.become(events, nil)
		case !there && d.told == nil:
			delete(x.keys, key)
		case !there && !waits && x.missing[key].IsZero():
			x.missing[key] = now
		}
	}
	x.touched = map[model.Key]struct{}{} // a cleared one would keep the size of the first load
	events = x.drop(events, now, dirs)
	if waited+len(x.waiting) > 0 {
		x.confirm(dirs)
	}
	slices.SortFunc(events, func(a, b model.Event) int { return a.Compare(b.Key) })
	return events
}

// drop adds the deletions of what is missing for long enough, or was confirmed.
func (x *index) drop(events []model.Event, now time.Time, dirs []*directory) []model.Event {
	drop := func(key model.Key) {
		events = x.keys[key].become(events, nil)
		delete(x.missing, key)
		delete(x.waiting, key)
		delete(x.keys, key)
	}
	for key := range x.waiting {
		if dirs[x.keys[key].dir].mayBeEmpty() {
			drop(key)
		}
	}
	suspects := map[int]bool{}
	for key, since := range x.missing {
		dir := x.keys[key].dir
		switch {
		case now.Sub(since) < x.settle:
		case dirs[dir].suspect():
			suspects[dir] = true
		default:
			drop(key)
		}
	}
	if len(suspects) > 0 { // what went last waits with what went first, so that it is told as one
		maps.DeleteFunc(x.missing, func(key model.Key, _ time.Time) bool {
			waits := suspects[x.keys[key].dir]
			if waits {
				x.waiting[key] = struct{}{}
			}
			return waits
		})
	}
	return events
}

// contest notes whether a key is defined twice.
func (x *index) contest(key model.Key, d *definition) {
	_, was := x.contested[key]
	is := len(d.claims) > 1 && len(d.conflicts(nil)) > 0
	if is {
		x.contested[key] = struct{}{}
	} else {
		delete(x.contested, key)
	}
	x.unsorted = x.unsorted || was || is
}

// present gives the problems of now, sorted, and whether they differ from those of the last call.
func (x *index) present() (problems []model.Problem, changed bool) {
	if !x.unsorted {
		return x.problems, false
	}
	x.unsorted = false
	for _, list := range x.complaints {
		problems = append(problems, list...)
	}
	for key := range x.contested {
		problems = x.keys[key].conflicts(problems)
	}
	for _, p := range x.mirrors.idle {
		problems = append(problems, p)
	}
	slices.SortFunc(problems, model.CompareProblems)
	problems = slices.Compact(problems)
	changed = !slices.Equal(problems, x.problems)
	x.problems = problems
	return problems, changed
}

// due gives when the next missing object counts as deleted, zero for never.
func (x *index) due() time.Time {
	var first time.Time
	for _, since := range x.missing {
		if at := since.Add(x.settle); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// sameObject tells whether two objects are equal, with the place where they were read, which
// problems name.
func sameObject(a, b *model.Object) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	return a.Key == b.Key && a.Origin == b.Origin && model.Same(a, b)
}
