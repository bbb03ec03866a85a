package push

import (
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Translator turns one snapshot into messages. It is pure and safe for concurrent use.
type Translator interface {
	// Classify finds the class of a proxy.
	Classify(p *model.Proxy) resolve.Class
	// Translate gives all that a class should run.
	Translate(c *resolve.Class) Draft
	// Endpoints gives the messages that may differ from a draft of the same class where nothing
	// but the endpoints of the services changed; whole asks for Translate instead.
	Endpoints(c *resolve.Class, targets []Target, services map[model.Key]struct{}) (changed []Message, whole bool)
}

// Message is a resource before it is marshalled.
type Message struct {
	Type Type
	Name string
	Body proto.Message
}

// Target is a cluster with a load assignment, and the service whose endpoints are in it.
type Target struct {
	Cluster *ir.Cluster
	Service model.Key
}

// Draft is what a class should run, before it is checked and marshalled.
type Draft struct {
	Messages []Message
	Targets  []Target
	Problems []model.Problem
}

// pipeline is the Translator of the product: resolve and endpoint decide, envoy puts it into
// Envoy's words.
type pipeline struct{ reader resolve.Reader }

// NewTranslator gives the Translator of a snapshot.
func NewTranslator(r resolve.Reader) Translator { return pipeline{r} }

func (p pipeline) Classify(proxy *model.Proxy) resolve.Class {
	return resolve.Classify(p.reader, proxy)
}

func (p pipeline) Translate(c *resolve.Class) Draft {
	var d Draft
	add := func(t Type, name string, m proto.Message) {
		d.Messages = append(d.Messages, Message{t, name, m})
	}
	clusters, problems := resolve.Clusters(p.reader, c)
	d.Problems = append(d.Problems, problems...)
	for _, cl := range clusters {
		add(Clusters, cl.Name, envoy.Cluster(cl))
		if cl.Discovery != ir.DiscoveryEDS || cl.Endpoints == nil {
			continue
		}
		t := Target{Cluster: cl}
		if svc := p.reader.Service(c.Namespace, cl.Endpoints.Host); svc != nil {
			t.Service = svc.Key
		}
		d.Targets = append(d.Targets, t)
		d.Messages = append(d.Messages, p.assignment(c, t))
	}
	listeners, problems := resolve.Listeners(p.reader, c)
	d.Problems = append(d.Problems, problems...)
	for _, l := range listeners {
		add(Listeners, l.Name, envoy.Listener(l))
	}
	routes, problems := resolve.Routes(p.reader, c)
	d.Problems = append(d.Problems, problems...)
	for _, rc := range routes {
		add(Routes, rc.Name, envoy.RouteConfig(rc))
	}
	if table := resolve.NameTable(p.reader, c); table != nil {
		add(NameTables, NameTableName, envoy.NameTable(table))
	}
	return d
}

func (p pipeline) assignment(c *resolve.Class, t Target) Message {
	return Message{Endpoints, t.Cluster.Name, envoy.LoadAssignment(endpoint.Assignment(p.reader, c, t.Cluster))}
}

// Endpoints rebuilds the load assignments of the services. The endpoints of a headless service
// are also in listeners and in the name table, so these ask for the whole.
func (p pipeline) Endpoints(c *resolve.Class, targets []Target, services map[model.Key]struct{}) ([]Message, bool) {
	for key := range services {
		host := key.Name + "." + key.Namespace + ".svc." + p.reader.Domain()
		if svc := p.reader.Service(c.Namespace, host); svc != nil && svc.Headless {
			return nil, true
		}
	}
	var out []Message
	for _, t := range targets {
		if _, ok := services[t.Service]; ok {
			out = append(out, p.assignment(c, t))
		}
	}
	return out, false
}
