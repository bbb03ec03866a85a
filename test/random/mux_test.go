package random

import (
	"maps"
	"slices"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// mux is Envoy's side of an ADS stream: subscriptions that outlive streams, acknowledgements that
// wait while their type is paused, and what is claimed on a new stream.
type mux struct {
	isDelta bool
	up      bool
	subs    []*subscription // in the order in which the types were first asked for
	acks    []*request
	paused  [xdsres.NumTypes]int
	out     func(*request)
}

// subscription is what a mux knows of one type.
type subscription struct {
	typ      xdsres.Type
	wildcard bool
	// versions of what was asked for by name, "" while it is awaited; listed of what came otherwise.
	versions, listed map[string]string
	added, removed   map[string]struct{} // not yet told the server
	fresh            bool                // nothing was asked on this stream
	forgets          bool                // claims nothing on a new stream, as the agent does for its name table

	// State of the world: the last accepted version, the last nonce, and whether a request is due.
	version, nonce, detail string
	due                    bool
}

func (m *mux) sub(t xdsres.Type) *subscription {
	for _, s := range m.subs {
		if s.typ == t {
			return s
		}
	}
	return nil
}

// subscribe opens a wildcard subscription, or one by name that names nothing yet.
func (m *mux) subscribe(t xdsres.Type, wildcard bool) *subscription {
	s := &subscription{
		typ: t, wildcard: wildcard, fresh: true, due: wildcard, versions: map[string]string{}, listed: map[string]string{},
		added: map[string]struct{}{}, removed: map[string]struct{}{},
	}
	m.subs = append(m.subs, s)
	return s
}

// want makes the names of a type's subscription these; a cluster that starts over asks again in the
// state of the world, though its name is asked for already.
func (m *mux) want(t xdsres.Type, names map[string]struct{}, again bool) {
	s := m.sub(t)
	if s == nil {
		if len(names) == 0 {
			return
		}
		s = m.subscribe(t, false)
	}
	for n := range names {
		if _, has := s.versions[n]; !has {
			s.versions[n] = ""
			s.added[n] = struct{}{}
			delete(s.removed, n)
			s.due = true
		}
	}
	for n := range s.versions {
		if _, stays := names[n]; !stays {
			delete(s.versions, n)
			if _, untold := s.added[n]; untold && !s.fresh {
				delete(s.added, n)
			} else {
				s.removed[n] = struct{}{}
			}
			s.due = true
		}
	}
	s.due = s.due || again
	m.flush()
}

func (m *mux) pause(t xdsres.Type) { m.paused[t]++ }

func (m *mux) resume(t xdsres.Type) {
	m.paused[t]--
	m.flush()
}

// connected starts a stream: nothing of the former one counts but what is held.
func (m *mux) connected() {
	m.up, m.acks = true, nil
	for _, s := range m.subs {
		s.fresh, s.due, s.nonce = true, true, ""
		clear(s.removed)
	}
	m.flush()
}

func (m *mux) disconnected() { m.up = false }

// flush sends what may be sent: acknowledgements first, then changes of interest.
func (m *mux) flush() {
	for m.up {
		r := m.next()
		if r == nil {
			return
		}
		m.out(r)
	}
}

func (m *mux) next() *request {
	if !m.isDelta {
		for _, s := range m.subs {
			if s.due && m.paused[s.typ] == 0 { // on a new stream also of what has no names any more
				s.due, s.fresh = false, false
				return &request{
					typ: s.typ, names: slices.Sorted(maps.Keys(s.versions)), version: s.version, nonce: s.nonce, detail: s.takeDetail(),
				}
			}
		}
		return nil
	}
	for i, ack := range m.acks {
		if m.paused[ack.typ] == 0 {
			m.acks = slices.Delete(m.acks, i, i+1)
			m.sub(ack.typ).changes(ack)
			return ack
		}
	}
	for _, s := range m.subs {
		if m.paused[s.typ] == 0 && s.pending() {
			r := &request{typ: s.typ}
			s.changes(r)
			return r
		}
	}
	return nil
}

func (s *subscription) takeDetail() string {
	d := s.detail
	s.detail = ""
	return d
}

// asks tells whether it covers a name, and by which version.
func (s *subscription) asks(name string) (version string, asked bool) {
	if s == nil {
		return "", false
	}
	version, named := s.versions[name]
	if !named {
		version = s.listed[name]
	}
	return version, named || s.wildcard
}

func (s *subscription) pending() bool {
	if s.fresh {
		return s.wildcard || len(s.versions) > 0
	}
	return len(s.added)+len(s.removed) > 0
}

// changes puts the untold changes of interest into a request, and the claims into the first one.
func (s *subscription) changes(r *request) {
	if s.fresh {
		r.initial = map[string]string{}
		for _, held := range []map[string]string{s.versions, s.listed} {
			for n, v := range held {
				if v != "" && !s.forgets {
					r.initial[n] = v
				}
			}
		}
		for n := range s.versions {
			s.added[n] = struct{}{}
		}
		clear(s.removed)
	}
	s.fresh = false
	r.subscribe, r.unsubscribe = slices.Sorted(maps.Keys(s.added)), slices.Sorted(maps.Keys(s.removed))
	clear(s.added)
	clear(s.removed)
}

// answer notes a response as taken, or as refused if there is a detail.
func (m *mux) answer(r *response, detail string) {
	s := m.sub(r.typ)
	if !m.isDelta {
		s.answerState(r, detail)
		m.flush()
		return
	}
	if detail == "" {
		s.took(r)
	}
	m.acks = append(m.acks, &request{typ: r.typ, nonce: r.nonce, detail: detail})
	m.flush()
}

// answerState notes a response of the state of the world.
func (s *subscription) answerState(r *response, detail string) {
	s.nonce = r.nonce
	switch {
	case !s.wildcard && len(s.versions) == 0: // it wants nothing by now, and passes over what comes
		if len(r.resources) == 0 {
			s.version = r.version // without a word
			return
		}
	case detail == "":
		s.version = r.version
	default:
		s.detail = detail // until it is told, also beside the version of a later response that it took
	}
	s.due = true
}

func (s *subscription) took(r *response) {
	for _, res := range r.resources {
		if _, named := s.versions[res.name]; named {
			s.versions[res.name] = res.version
		} else if s.wildcard {
			s.listed[res.name] = res.version
		}
	}
	for _, n := range r.removed {
		if _, named := s.versions[n]; named {
			s.versions[n] = ""
		}
		delete(s.listed, n)
	}
}
