package fleet

import (
	"fmt"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// edit changes the mesh so that each Envoy gets something of a type, and some more. It gives the
// service that came, if one did.
func (f *fleet) edit(stage resource.Type) (story string, comer *service) {
	all := f.sorted()
	subject := all[f.rng.IntN(len(all))]
	switch stage {
	case resource.Clusters:
		story = f.changeClusters(subject)
	case resource.Endpoints:
		story = f.changeEndpoints(subject)
	case resource.Listeners:
		if subject = f.all["raw"]; f.rng.IntN(3) > 0 {
			story, comer = f.comeOrGo()
		} else {
			story = f.changeRoutes(subject) // which are in a listener
		}
	}
	others := slices.DeleteFunc(f.sorted(), func(s *service) bool { return s == subject }) // nothing is taken back
	for range f.rng.IntN(4) {
		switch s := others[f.rng.IntN(len(others))]; f.rng.IntN(6) {
		case 0, 1:
			story += f.changeClusters(s)
		case 2:
			story += f.changeEndpoints(s)
		case 3:
			story += f.changeRoutes(s)
		case 4:
			story += f.toggle("sidecar.yaml", sidecarYAML)
		case 5:
			story += f.toggle("peers.yaml", peersYAML)
		}
	}
	return story, comer
}

// changeRoutes gives a service other weights.
func (f *fleet) changeRoutes(s *service) string {
	s.ruled, s.weight = true, (s.weight+1+f.rng.IntN(99))%101
	return s.name + " has other weights. "
}

// changeClusters gives a service another policy, one version more or less, or takes its rules away
// or gives them back.
func (f *fleet) changeClusters(s *service) string {
	s.timeout = 1 + s.timeout%5
	switch f.rng.IntN(5) {
	case 0:
		if s.ruled = !s.ruled || s.name == "web-0"; !s.ruled { // one shows the round
			return s.name + " loses its rules. "
		}
	case 1, 2:
		s.ruled = true
		return s.name + " has another policy. "
	}
	s.ruled = true
	if last := s.pods[len(s.pods)-1]; last.version == "v3" {
		last.leaving = !last.leaving
		return s.name + " loses a version, or has it back. "
	}
	s.pods = append(s.pods, f.pod(s, "v3"))
	return s.name + " gets a version. "
}

// changeEndpoints moves backends of a service, or all of them.
func (f *fleet) changeEndpoints(s *service) string {
	if f.rng.IntN(3) == 0 {
		for i := range s.pods {
			f.move(s, i)
		}
		return s.name + " moves. "
	}
	f.move(s, f.rng.IntN(len(s.pods)))
	return "a backend of " + s.name + " moves. "
}

// comeOrGo adds a service with a port of its own, or removes the oldest of those.
func (f *fleet) comeOrGo() (string, *service) {
	if len(f.comers) < 2 {
		s := f.add(fmt.Sprintf("own-%d", f.came), ownPort+f.came%50)
		f.came++
		f.comers = append(f.comers, s)
		return s.name + " comes. ", s
	}
	s := f.comers[0]
	f.comers = f.comers[1:]
	for _, p := range f.proxies {
		p.hangUp(s.name)
	}
	f.remove(s.name)
	return s.name + " goes. ", nil
}
