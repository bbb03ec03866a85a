package install

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// stateKey is under which a ConfigMap has the settings of an installation, as an IstioOperator; statePrefix is
// how its name begins, so that it is no name that the control plane reads.
const (
	stateKey    = "operator"
	statePrefix = "istio-operator."
)

// stateName names the ConfigMap. A revision has no dot, so two installations have two names.
func stateName(name, revision string) string { return statePrefix + name + "." + revision }

// record keeps the settings in the cluster, so that an upgrade begins with them.
func (c *Cluster) record(ctx context.Context, p *operator.Plan, s operator.Settings) error {
	if len(p.Namespaces()) == 0 { // there may be no namespace to keep it in
		return nil
	}
	name, text, err := s.Record()
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{stateKey: string(text)},
	}}
	o.SetName(stateName(name, p.Revision))
	o.SetNamespace(p.Namespace)
	o.SetLabels(map[string]string{
		operator.LabelManagedBy: operator.ManagedBy, operator.LabelRevision: p.Revision, operator.LabelOwner: p.Name,
	})
	return c.Apply(ctx, []*unstructured.Unstructured{o})
}

// Recorded gives the settings of the installations of a revision as they were recorded, sorted by name.
func (c *Cluster) Recorded(ctx context.Context, revision string) ([]operator.File, error) {
	list, err := c.client.Resource(configMaps).List(ctx, metav1.ListOptions{
		LabelSelector: operator.LabelManagedBy + "=" + operator.ManagedBy + "," + operator.LabelRevision + "=" + revision,
	})
	if err != nil {
		return nil, fmt.Errorf("list the settings of installations: %w", err)
	}
	var out []operator.File
	for i := range list.Items {
		o := &list.Items[i]
		if !strings.HasPrefix(o.GetName(), statePrefix) {
			continue
		}
		text, _, _ := unstructured.NestedString(o.Object, "data", stateKey)
		out = append(out, operator.File{Name: o.GetLabels()[operator.LabelOwner], Text: []byte(text)})
	}
	slices.SortFunc(out, func(a, b operator.File) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// OverRecorded gives settings laid over those that were recorded of the same revision, and of the name that
// their files give. Where they give none there may be one installation only; where there is none they are
// given as they are.
func (c *Cluster) OverRecorded(ctx context.Context, s operator.Settings) (operator.Settings, error) {
	recorded, err := c.Recorded(ctx, s.Revision)
	if err != nil {
		return s, err
	}
	name, _, err := s.Record()
	if err != nil {
		return s, err
	}
	var names []string
	for _, f := range recorded {
		names = append(names, f.Name)
	}
	at := slices.Index(names, name)
	if name == operator.DefaultName && at < 0 {
		switch len(recorded) {
		case 0:
			return s, nil
		case 1:
			at = 0
		default:
			return s, fmt.Errorf("there are several installations of revision %s: %s; say which, by a file with that metadata.name", s.Revision, strings.Join(names, ", "))
		}
	}
	if at >= 0 {
		s.Files = append([]operator.File{recorded[at]}, s.Files...)
	}
	return s, nil
}
