package push

import "maps"

// stack puts the own entries over the sets of below. Where they are as before, below changed under
// other names, if at all: a set that was that of below still is.
func (o *overlay) stack(again bool) {
	for t := range o.sets {
		again := again
		if t := Type(t); t == Clusters || t == Endpoints {
			again = o.moved
		}
		switch below := o.below.sets[t]; {
		case !again && below == o.below.before[t]:
		case !again && o.sets[t] == o.below.before[t]:
			o.publish(Type(t), below)
		default:
			o.publish(Type(t), o.encoder.sets[t].cover(below, o.own[t]))
		}
	}
}

// coverClusters lists what stands over the clusters of below, and over their load assignments.
func (o *overlay) coverClusters() {
	clusters, assignments := map[string]*Resource{}, map[string]*Resource{}
	for host, u := range o.clusters {
		if b := o.below.clusters[host]; b != nil {
			for _, cl := range b.clusters {
				clusters[cl.Name], assignments[cl.Name] = nil, nil
			}
		}
		for i, cl := range u.clusters {
			clusters[cl.Name] = u.resources[i]
		}
		maps.Copy(assignments, o.assigned[host])
	}
	o.own[Clusters], o.own[Endpoints] = sortedEntries(clusters), sortedEntries(assignments)
}

// coverRoutes lists what stands over the listeners and routes of below, and over its name table.
func (o *overlay) coverRoutes() {
	listeners, routes := map[string]*Resource{}, map[string]*Resource{}
	o.own[NameTables] = nil
	if !o.shared {
		for name := range without(o.below.listeners, o.layout.Listeners()) {
			listeners[name] = nil
		}
		for name := range without(o.below.routes, o.layout.Routes()) {
			routes[name] = nil
		}
		if o.names != nil {
			o.own[NameTables] = []entry{{NameTableName, o.names}}
		}
	}
	for name, u := range o.listeners {
		listeners[name] = u.resource
	}
	for name, u := range o.routes {
		routes[name] = u.resource
	}
	o.own[Listeners], o.own[Routes] = sortedEntries(listeners), sortedEntries(routes)
}
