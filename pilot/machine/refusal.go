package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// noGroup is why the machine of a group that is not there is not registered.
const noGroup = "there is no such group"

const (
	// maxRefusals is how many refusals are told at once, and maxRefusalsOfOne how many of groups of one namespace.
	maxRefusals      = 100
	maxRefusalsOfOne = 20
	// lingering is how long one is told at least, so that a machine that comes again and again is told of once.
	lingering = time.Minute
)

// refusal is why machines of a group are not registered.
type refusal struct {
	group  model.Key
	reason string
}

// refused is who was refused first, and when somebody was last.
type refused struct {
	proxy string
	at    time.Time
}

// refuse notes why a member is not registered.
func (g *Registry) refuse(m *member, reason string, now time.Time) {
	r := refusal{m.group(), reason}
	known, is := g.refusals[r]
	if !is {
		same := 0
		for other := range g.refusals {
			if other.group.Namespace == r.group.Namespace {
				same++
			}
		}
		if len(g.refusals) >= maxRefusals || same >= maxRefusalsOfOne {
			return
		}
		known.proxy = m.node.Name
		g.poke()
	}
	known.at = now
	g.refusals[r] = known
}

// tellRefusals tells of machines that are not registered, and when to look again; 0 for not by itself.
func (g *Registry) tellRefusals(now time.Time) (next time.Duration) {
	for _, m := range g.joined {
		if m.refused != "" {
			g.refuse(m, m.refused, now)
		} else if m.at.foreign() {
			g.refuse(m, fmt.Sprintf("WorkloadEntry %s is there, and was not made by its registration", m.at.key.Name), now)
		}
	}
	var problems []model.Problem
	for r, last := range g.refusals {
		if now.Sub(last.at) >= lingering {
			delete(g.refusals, r)
			continue
		}
		next = lingering
		p := model.Problem{
			Object: r.group, Severity: model.SeverityWarning, Reason: model.ReasonInvalid,
			Message: fmt.Sprintf("the proxy %s names this group to be registered by, and is not: %s", last.proxy, r.reason),
		}
		if r.reason == noGroup {
			p.Reason = model.ReasonReference
		}
		if known := g.groups[r.group]; known != nil && known.object != nil {
			p.Origin = known.object.Origin
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, model.CompareProblems)
	if !slices.Equal(problems, g.told) {
		g.told = problems
		g.opts.Report(problems)
	}
	return next
}
