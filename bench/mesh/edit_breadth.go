package mesh

import (
	"bytes"
	"fmt"
)

// Alone gives the service account and the labels' app of the workload of ns-0 that objects of one
// workload select: that of the second of the fixed services.
func (m *Mesh) Alone() string { return fmt.Sprintf("svc-%d", m.Fixed(1)) }

// PolicyOfWorkload changes a path that Alone denies.
func (m *Mesh) PolicyOfWorkload() Edit {
	return m.edit("policy-of-workload", func(b *bytes.Buffer, name string, generation int) {
		denyPath(b, name, Namespace(0), fmt.Sprintf("  selector: {matchLabels: {app: %s}}\n", m.Alone()), generation)
	})
}

// PolicyOfAll changes a path that all workloads of the mesh deny.
func (m *Mesh) PolicyOfAll() Edit {
	return m.edit("policy-of-all", func(b *bytes.Buffer, name string, generation int) {
		denyPath(b, name, rootNamespace, "", generation)
	})
}

// rootNamespace has the objects that are for the whole mesh.
const rootNamespace = "istio-system"

func denyPath(b *bytes.Buffer, name, namespace, selector string, generation int) {
	document(b, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: %s, namespace: %s}\nspec:\n%s"+
		"  action: DENY\n  rules: [{to: [{operation: {paths: [/denied-%d]}}]}]", name, namespace, selector, generation)
}

// External changes an address of a ServiceEntry that ns-0 alone sees, and gives the name of its
// Envoy cluster, which holds the addresses.
func (m *Mesh) External() (e Edit, cluster string) {
	e = m.edit("external", func(b *bytes.Buffer, _ string, generation int) { m.renderExternal(b, external, generation) })
	return e, "outbound|443||" + externalHost(external)
}

// FilterOfWorkload changes the script of an EnvoyFilter that selects Alone.
func (m *Mesh) FilterOfWorkload() Edit {
	return m.edit("filter-of-workload", func(b *bytes.Buffer, name string, generation int) {
		selector := fmt.Sprintf("  workloadSelector: {labels: {app: %s}}\n", m.Alone())
		envoyFilter(b, name, Namespace(0), selector, lua("SIDECAR_INBOUND", generation))
	})
}

// FilterOfNamespace changes an EnvoyFilter of ns-0 that patches the cluster of a service there, and
// gives the cluster's name.
func (m *Mesh) FilterOfNamespace() (e Edit, cluster string) {
	service := m.Fixed(2)
	e = m.edit("filter-of-namespace", func(b *bytes.Buffer, name string, generation int) {
		envoyFilter(b, name, Namespace(0), "", m.timeout(service, generation))
	})
	return e, m.Cluster(service)
}

// edit renders the next generation of a file that is named after its object.
func (m *Mesh) edit(name string, render func(b *bytes.Buffer, name string, generation int)) Edit {
	var b bytes.Buffer
	m.edits[name]++
	render(&b, name, m.edits[name])
	return m.file(name, &b)
}
