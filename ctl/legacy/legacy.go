// Package legacy turns the security objects of Istio up to 1.5 (Policy and MeshPolicy of authentication.istio.io,
// ClusterRbacConfig, RbacConfig, ServiceRole and ServiceRoleBinding of rbac.istio.io) into those of today. What has
// no equal is said in a comment, and never lets more pass: a rule that allows is left out whole. `pilotctl translate`
// prints what it makes; the mesh reads none of the old kinds.
package legacy

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// rootNamespace is where policies of the whole mesh live.
const rootNamespace = "istio-system"

// meta is the part of an object that all kinds have.
type meta struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
}

func (m *meta) namespace() string {
	if m.Metadata.Namespace == "" {
		return "default"
	}
	return m.Metadata.Namespace
}

// String names an object in comments.
func (m *meta) String() string {
	if m.Kind == "MeshPolicy" || m.Kind == "ClusterRbacConfig" || m.Kind == "RbacConfig" {
		return m.Kind + " " + m.Metadata.Name
	}
	return m.Kind + " " + m.namespace() + "/" + m.Metadata.Name
}

// document is one object of today, with what is to be said of it.
type document struct {
	comments []string
	object   map[string]any // nil for comments alone
}

// Translator collects documents and translates them together, since old objects name each other.
type Translator struct {
	services map[string]*corev1.Service // by namespace/name
	policies []*policy
	configs  []*rbacConfig
	roles    []*serviceRole
	bindings []*roleBinding
	out      []*document
}

// Read takes the documents of a YAML file. Services in it tell which workloads old objects mean; of others it takes
// no notice. An error names the file and its line.
func (t *Translator) Read(name string, data []byte) error {
	return yamldoc.Each(data, func(d yamldoc.Document) error {
		if err := t.read(d.Text); err != nil {
			return d.In(name, err)
		}
		return nil
	})
}

func (t *Translator) read(text []byte) error {
	var m meta
	if err := yaml.Unmarshal(text, &m); err != nil {
		return err
	}
	group, _, _ := strings.Cut(m.APIVersion, "/")
	into := func(to any) error {
		if err := yaml.UnmarshalStrict(text, to); err != nil {
			return fmt.Errorf("%s: %w", &m, err)
		}
		return nil
	}
	switch {
	case m.Kind == "Service" && m.APIVersion == "v1":
		svc := &corev1.Service{}
		if t.services == nil {
			t.services = map[string]*corev1.Service{}
		}
		t.services[m.namespace()+"/"+m.Metadata.Name] = svc
		return yaml.Unmarshal(text, svc)
	case group == "authentication.istio.io" && (m.Kind == "Policy" || m.Kind == "MeshPolicy"):
		p := &policy{}
		t.policies = append(t.policies, p)
		return into(p)
	case group == "rbac.istio.io" && (m.Kind == "ClusterRbacConfig" || m.Kind == "RbacConfig"):
		c := &rbacConfig{}
		t.configs = append(t.configs, c)
		return into(c)
	case group == "rbac.istio.io" && m.Kind == "ServiceRole":
		r := &serviceRole{}
		t.roles = append(t.roles, r)
		return into(r)
	case group == "rbac.istio.io" && m.Kind == "ServiceRoleBinding":
		b := &roleBinding{}
		t.bindings = append(t.bindings, b)
		return into(b)
	}
	return nil
}

// Write prints today's objects as YAML, each after comments on what it stands for.
func (t *Translator) Write(w io.Writer) error {
	t.out = nil
	for _, p := range t.policies {
		t.policy(p)
	}
	t.authorization()
	if len(t.out) == 0 {
		t.say("there is no object of Istio's old security kinds here")
	}
	var b bytes.Buffer
	for i, d := range t.out {
		if i > 0 {
			b.WriteString("---\n")
		}
		for _, c := range d.comments {
			fmt.Fprintf(&b, "# %s\n", strings.ReplaceAll(c, "\n", " "))
		}
		if d.object == nil {
			continue
		}
		text, err := yaml.Marshal(d.object)
		if err != nil {
			return err
		}
		b.Write(text)
	}
	_, err := b.WriteTo(w)
	return err
}

// say adds a comment that no object follows.
func (t *Translator) say(format string, args ...any) {
	t.out = append(t.out, &document{comments: []string{fmt.Sprintf(format, args...)}})
}

// add adds an object of today.
func (t *Translator) add(kind, namespace, name string, labels map[string]string, spec map[string]any, comments ...string) map[string]any {
	if len(labels) > 0 {
		spec["selector"] = map[string]any{"matchLabels": labels}
	}
	object := map[string]any{
		"apiVersion": "security.istio.io/v1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec,
	}
	t.out = append(t.out, &document{comments, object})
	return object
}

// workloads gives the labels of the pods behind a Service, which today's selectors ask for. Where there is no such
// Service here they are guessed, which the comment says.
func (t *Translator) workloads(namespace, name string) (labels map[string]string, comment string) {
	if svc := t.services[namespace+"/"+name]; svc != nil && len(svc.Spec.Selector) > 0 {
		return svc.Spec.Selector, ""
	}
	return map[string]string{"app": name}, fmt.Sprintf("CHECK: there is no Service %s/%s here; its selector has to be that of this object", namespace, name)
}
