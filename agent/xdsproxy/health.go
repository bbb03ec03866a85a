package xdsproxy

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// unwell is the code with which Istio's agents say that an application is not healthy.
const unwell = 500

// health is what is known of the application's; problem is "" for a healthy one.
type health struct{ problem string }

// SetHealth tells the control plane how the application is, now and at the beginning of each further stream. A nil
// problem means that it is well.
func (p *Proxy) SetHealth(problem error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = &health{}
	if problem != nil {
		p.told.problem = problem.Error()
	}
	if p.listening != nil {
		p.listening.tell(p.told)
	}
}

// listen makes the stream say what is known of the health and of the certificate, and what becomes of it until the function that it gives
// is called. A control plane takes it once it knows the node, which Envoy's first request says.
func (j *joint) listen() (end func()) {
	p := j.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listening = j
	if p.told != nil {
		j.tell(p.told)
	}
	j.tellSigner(p.signer)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.listening == j {
			p.listening = nil
		}
	}
}

func (j *joint) tell(h *health) {
	var problem *node.Status
	if h.problem != "" {
		problem = problemOf(unwell, h.problem)
	}
	j.own.put(healthType, j.proto.inform(healthType, problem))
}

// problemLength is how many bytes of a problem's text are sent.
const problemLength = 1024

// problemOf gives a problem for the control plane. Its text may be anything, such as the output of a command, and
// a string of protobuf has to be UTF-8.
func problemOf(code int32, text string) *node.Status {
	return &node.Status{Code: code, Message: strings.ToValidUTF8(text[:min(len(text), problemLength)], "�")}
}
