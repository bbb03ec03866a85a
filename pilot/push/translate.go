package push

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Translator turns states of the mesh into what classes should run. Advance comes first and
// alone, once for each state; the others may then be called concurrently.
type Translator interface {
	// Advance goes to the state. live are the classes with proxies; what others shared is dropped.
	Advance(ctx context.Context, live []*resolve.Class) (Work, error)
	// Classify finds the class of a proxy.
	Classify(p *model.Proxy) resolve.Class
	// Moved tells whether a proxy's class may be another than before Advance.
	Moved(p *model.Proxy) bool
	// Touched tells whether a class's Base or Own may differ from before Advance.
	Touched(c *resolve.Class) (base, own bool)
	// Base gives what several classes share.
	Base(c *resolve.Class) Base
	// Own gives the rest of what a class should run; it hides what Base has by the same name.
	Own(c *resolve.Class) Draft
}

// Work is what an Advance did.
type Work struct {
	Parts, Changed  int // that classes share, and those of them that came out otherwise
	Units, Computed int // that parts are made of, and those of them that were computed
}

// Base is what classes share, checked and marshalled. A nil set is empty.
type Base struct {
	Sets     [NumTypes]*Set
	Problems []model.Problem // which nobody changes
}

// Message is a resource before it is marshalled.
type Message struct {
	Type Type
	Name string
	Body proto.Message
}

// Draft is what a class should run, before it is checked and marshalled.
type Draft struct {
	Messages  []Message
	Resources []*Resource // that are ready
	Problems  []model.Problem
}
