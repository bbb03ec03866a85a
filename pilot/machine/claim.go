package machine

import (
	"maps"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// maxRetry is the longest pause between two tries to write a registration; the first is a round.
const maxRetry = 30 * time.Second

// Registration is what is to become of an entry that is there for a machine. One of its fields is set.
type Registration struct {
	// Claim is to be created where there is no such entry. Of one that is there, which is the same machine's, only
	// the annotations are taken that tell who hears it, unless they are of a later time.
	Claim *model.Object
	// Leave tells that the machine has gone, or asks whether it has, if it came at Connected.
	Leave *Leave
	// Remove takes the entry away if the machine was gone at this time.
	Remove time.Time
}

// Leave is the end of what began with Connected.
type Leave struct{ Connected, Disconnected time.Time }

// notice looks at what an entry says of who hears it. One whose machine has gone has the grace period also where the
// replica that would end it is not there any more.
func (r *registration) notice(first bool, now time.Time, name string, grace time.Duration) {
	p, ok := presenceOf(r.found)
	if p == r.seen {
		return
	}
	r.seen, r.look = p, time.Time{}
	switch {
	case !ok:
	case p.disconnected.IsZero():
		switch {
		case r.mine(name), !p.answers:
		case first:
			r.look = now.Add(returning)
		default:
			r.look = now.Add(recheck)
		}
	case p.controller == name && p.disconnected.Equal(r.left):
		r.look = r.until
	default:
		r.look = now.Add(max(answering, grace))
	}
}

// mine tells whether the entry says what this replica has written last.
func (r *registration) mine(name string) bool {
	return r.seen.controller == name && !r.claim.IsZero() && r.seen.connected.Equal(r.claim)
}

// next gives what is to be written now; the zero value for nothing. Asking may have to wait.
func (r *registration) next(now time.Time, name string, mayAsk bool) (out Registration, asks bool) {
	best := r.best()
	switch {
	case best != nil && r.found == nil:
		return r.claimed(best, best.since, name), false
	case best != nil && r.foreign():
	case best != nil && !r.seen.disconnected.IsZero():
		since := now
		if !since.After(r.seen.disconnected) {
			since = r.seen.disconnected.Add(1) // the other replica's clock is before ours
		}
		return r.claimed(best, since, name), false
	case best != nil:
		if !r.mine(name) && !r.seen.connected.After(best.since) {
			return r.claimed(best, best.since, name), false
		}
	case r.found == nil || r.seen.controller == "":
	case r.seen.disconnected.IsZero() && r.mine(name):
		r.left = now
		return Registration{Leave: &Leave{r.claim, now}}, false
	case r.look.IsZero() || r.look.After(now):
	case !r.seen.disconnected.IsZero():
		r.look = now.Add(answering) // again, should this fail
		return Registration{Remove: r.seen.disconnected}, false
	case mayAsk:
		r.look = now.Add(answering) // again, should this fail
		return Registration{Leave: &Leave{r.seen.connected, now}}, true
	default:
		r.look = now.Add(round)
	}
	return Registration{}, false
}

// claimed gives the claim of a member, and notes it.
func (r *registration) claimed(m *member, since time.Time, name string) Registration {
	r.claim = since
	return Registration{Claim: heard(m.entry, name, since)}
}

// dueRegistrations gives what is to be written of registrations, or hands it on where there is no cluster, and tells
// when to look again; 0 for not by itself.
func (g *Registry) dueRegistrations(now time.Time) (out []Change, next time.Duration) {
	var ended []*registration
	asks := 0
	for _, key := range slices.SortedFunc(maps.Keys(g.registered), model.Key.Compare) {
		r := g.registered[key]
		if g.opts.Write == nil {
			if len(r.members) == 0 && !r.until.After(now) {
				ended = append(ended, r)
			}
		} else if c, write := g.dueRegistration(r, now, asks < asksAtOnce); write {
			if c.Ask {
				asks++
			}
			out = append(out, c)
		}
		forget := g.forget(r, now)
		for _, at := range []time.Time{r.until, r.look, r.retry, forget} {
			if left := at.Sub(now); left > 0 && (next == 0 || left < next) {
				next = left
			}
		}
	}
	g.handOn(ended)
	return out, next
}

// forget drops a registration of a cluster whose machine has gone and that never became an entry: its claim was
// refused, or its group is gone. A claim that is on its way then has its time to come back as an event. It gives when
// to look again, zero for never.
func (g *Registry) forget(r *registration, now time.Time) time.Time {
	if _, ours := presenceOf(r.found); g.opts.Write == nil || ours || len(r.members) > 0 {
		return time.Time{}
	}
	if end := r.until.Add(answering); end.After(now) {
		return end
	}
	g.dropIdle(r)
	return time.Time{}
}

// dueRegistration gives the change of one registration.
func (g *Registry) dueRegistration(r *registration, now time.Time, mayAsk bool) (c Change, write bool) {
	is := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
	if !r.dirty && !is(r.look) && !is(r.retry) || r.retry.After(now) {
		return c, false
	}
	r.dirty, r.retry = false, time.Time{}
	what, asks := r.next(now, g.opts.Name, mayAsk)
	return Change{Key: r.key, Registration: &what, Ask: asks, turns: what.Claim != nil}, what != (Registration{})
}

// written notes how the write of a registration has ended.
func (g *Registry) written(c Change, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.registered[c.Key]
	switch {
	case r == nil:
	case err == nil:
		r.fails = 0
	default:
		r.retry = time.Now().Add(min(round<<min(r.fails, 10), maxRetry))
		r.fails++
		g.poke()
	}
}
