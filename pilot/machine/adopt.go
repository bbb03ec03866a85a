package machine

import (
	"time"

	metav1alpha1 "istio.io/api/meta/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A condition outlives the replica that wrote it, and that replica may have heard a machine that is gone by now. So
// each replica asks for the conditions that it did not write: it marks them, and whoever hears the machine writes
// its condition again. One that nobody answers for is adopted by those who see the mark: it becomes what they hear
// of the machine, mostly nothing. An asked condition counts as before, so that asking costs no machine its service;
// and each replica measures by its own clock, from when it sees a condition. Conditions without a reason of ours are
// those of other control planes, which would not answer.
const (
	// returning is how long a replica that starts waits before it asks: Envoy's longest pause between two tries
	// to connect is 30 s.
	returning = 30 * time.Second
	// answering is how long the others have to answer.
	answering = 30 * time.Second
	// recheck is after how long without a change it is asked again: a replica may end without being replaced.
	recheck = 30 * time.Minute
	// asksAtOnce is for how many entries is asked in a round, so that those who answer keep up.
	asksAtOnce = 10
)

// told is what a condition says of who wrote it.
type told struct {
	probed time.Time
	reason string
}

// toldBy gives what an object's condition says; ok is false where there is none.
func toldBy(o *model.Object) (t told, ok bool) {
	status, _ := o.Status.(*metav1alpha1.IstioStatus)
	for _, c := range status.GetConditions() {
		if c.GetType() == model.ConditionHealthy {
			return told{c.GetLastProbeTime().AsTime(), c.GetReason()}, true
		}
	}
	return told{}, false
}

// notice compares the condition of the object, which is as first when the entry was not known before, with what this
// replica has written. It tells whether there is something to do, now or later.
func (e *entry) notice(first bool, now time.Time) bool {
	c, ok := toldBy(e.object)
	ours := c.reason == model.ReasonHeard || c.reason == model.ReasonAsked
	mine := ours && c.probed.Equal(e.since)
	if ok && ours && !mine {
		if c == e.other {
			return false
		}
		e.other = c
		switch {
		case c.reason == model.ReasonAsked:
			e.look = now.Add(answering)
		case first:
			e.look = now.Add(returning)
		default:
			e.look = now.Add(recheck)
		}
		return true
	}
	e.other, e.look = told{}, time.Time{}
	missed := !ok || mine && c.reason == model.ReasonAsked
	if !missed || e.stream == "" || e.status == nil || e.dirty {
		return false
	}
	e.renew(now)
	return true
}

// renew has the status written again, with a time by which the other replicas see that it was.
func (e *entry) renew(now time.Time) {
	if e.status != nil {
		s := *e.status
		s.Probed = now
		e.status = &s
	}
	e.dirty = true
}

// overdue does what is to be done about the condition of another replica, and tells whether it is to be asked for,
// which may not be at once.
func (e *entry) overdue(now time.Time, may bool) (ask bool) {
	switch {
	case e.look.IsZero() || e.look.After(now):
	case e.other.reason == model.ReasonAsked:
		e.look, e.since = time.Time{}, e.other.probed
		e.renew(now)
	case !may:
		e.look = now.Add(round)
	default:
		e.look = now.Add(answering) // again, should this fail
		return true
	}
	return false
}
