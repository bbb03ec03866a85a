package xdsproxy

import (
	"github.com/pilothouse-mesh/pilothouse/proto/node"
	"github.com/pilothouse-mesh/pilothouse/proto/signer"
)

// SetSigner tells the control plane by which of the mesh's roots the workload's certificate verifies (its fingerprint,
// "" for none), now and at the beginning of each further stream.
func (p *Proxy) SetSigner(root string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.signer == root {
		return
	}
	p.signer = root
	if p.listening != nil {
		p.listening.tellSigner(root)
	}
}

// tellSigner says nothing of no root at the beginning of a stream, which is what a control plane takes it for.
func (j *joint) tellSigner(root string) {
	if root == "" && !j.toldSigner {
		return
	}
	j.toldSigner = true
	j.own.put(signer.Type, j.proto.inform(signer.Type, &node.Status{Message: root}))
}
