package mesh

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Edit is a change that is ready to be made: the new content of one file.
type Edit struct {
	Path string
	Data []byte
}

// Apply makes the change in one step and gives the moment at which it was made.
func (e Edit) Apply() (time.Time, error) {
	part := filepath.Join(filepath.Dir(e.Path), "."+filepath.Base(e.Path)+".part")
	if err := os.WriteFile(part, e.Data, 0o644); err != nil {
		return time.Time{}, err
	}
	at := time.Now()
	return at, os.Rename(part, e.Path)
}

// Endpoint gives a pod another address.
func (m *Mesh) Endpoint(service, ordinal int) Edit {
	p := &m.pods[m.index(service, ordinal)]
	p.address++
	return m.podFile(p, ended)
}

// Touch changes a pod's annotations and the text of its status, which concerns no proxy.
func (m *Mesh) Touch(service, ordinal int) Edit {
	p := &m.pods[m.index(service, ordinal)]
	p.notes++
	return m.podFile(p, ended)
}

// Replace starts a pod of the next ReplicaSet, or of the next revision, in place of one that is
// now terminating; Ended is its end.
func (m *Mesh) Replace(service, ordinal int) Edit {
	p := &m.pods[m.index(service, ordinal)]
	p.rolled++
	return m.podFile(p, terminating)
}

// Ended ends the pod that was replaced last.
func (m *Mesh) Ended(service, ordinal int) Edit {
	return m.podFile(&m.pods[m.index(service, ordinal)], ended)
}

// podFile holds a pod and those that it replaced, the last of which is at a stage of its end.
func (m *Mesh) podFile(p *pod, last phase) Edit {
	var b bytes.Buffer
	m.renderPod(&b, p, p.rolled, running)
	if !m.headless(p.service) { // a StatefulSet's pods keep their names
		for rolled := range p.rolled {
			at := ended
			if rolled == p.rolled-1 {
				at = last
			}
			m.renderPod(&b, p, rolled, at)
		}
	}
	return m.file(fmt.Sprintf("pod-%d-%d", p.service, p.ordinal), &b)
}

// Route changes a timeout in the VirtualService of a reach.
func (m *Mesh) Route(r Reach) Edit {
	var b bytes.Buffer
	name := fmt.Sprintf("route-%d", r)
	m.edits[name]++
	m.renderRoute(&b, int(r), m.edits[name])
	return m.file(name, &b)
}

// Rule changes a limit in the DestinationRule of a reach.
func (m *Mesh) Rule(r Reach) Edit {
	var b bytes.Buffer
	name := fmt.Sprintf("rule-%d", r)
	m.edits[name]++
	m.renderRule(&b, int(r), m.edits[name])
	return m.file(name, &b)
}

func (m *Mesh) file(name string, b *bytes.Buffer) Edit {
	return Edit{Path: filepath.Join(m.hot, name+".yaml"), Data: b.Bytes()}
}

// Policy lets ns-0 demand mutual TLS, and the next time no longer.
func (m *Mesh) Policy() Edit {
	var b bytes.Buffer
	const name = "policy"
	m.edits[name]++
	mode := [2]string{"PERMISSIVE", "STRICT"}[m.edits[name]%2]
	document(&b, "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"+
		"metadata: {name: default, namespace: %s}\nspec: {mtls: {mode: %s}}", Namespace(0), mode)
	return m.file(name, &b)
}

// AddService adds a Service of ns-0 for pods that another one has already, each time another, and
// gives the name of its Envoy cluster. Those of the Free one are left alone, so that a change of
// their endpoints stays one of a single service.
func (m *Mesh) AddService() (e Edit, cluster string) {
	var b bytes.Buffer
	m.added++
	name := fmt.Sprintf("added-%d", m.added)
	document(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\n"+
		"spec:\n  clusterIP: %s\n  selector: {app: svc-%d}\n  ports: [{name: http, port: %d, targetPort: %d}]",
		name, Namespace(0), ipAt(172<<24|20<<16, m.spec.Services+m.added), m.Fixed(1), HTTPPort, HTTPPort)
	return m.file(name, &b), fmt.Sprintf("outbound|%d||%s.%s.svc.cluster.local", HTTPPort, name, Namespace(0))
}
