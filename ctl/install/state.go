package install

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// stateKey is under which a ConfigMap has the settings of an installation, as an IstioOperator.
const stateKey = "operator"

// stateName names the ConfigMap.
func stateName(name, revision string) string { return name + operator.Suffix(revision) }

// record keeps the settings in the cluster, so that an upgrade begins with them.
func (c *Cluster) record(ctx context.Context, p *operator.Plan, s operator.Settings) error {
	text, err := s.Dump()
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{stateKey: string(text)},
	}}
	o.SetName(stateName(p.Name, p.Revision))
	o.SetNamespace(model.RootNamespace)
	o.SetLabels(map[string]string{
		operator.LabelManagedBy: operator.ManagedBy, operator.LabelRevision: p.Revision, operator.LabelOwner: p.Name,
	})
	if len(p.Releases) == 0 { // and perhaps no namespace
		return nil
	}
	shared := p.Namespaces()
	if len(shared) == 0 {
		return nil
	}
	return c.Apply(ctx, []*unstructured.Unstructured{o})
}

// Recorded gives the settings of an installation as they were recorded; name is "" for the usual one. There
// may be none, after which the zero settings are given.
func (c *Cluster) Recorded(ctx context.Context, name, revision string) (s operator.Settings, found bool, err error) {
	if name == "" {
		name = operator.DefaultName
	}
	o, err := c.client.Resource(configMaps).Namespace(model.RootNamespace).Get(ctx, stateName(name, revision), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return operator.Settings{Revision: revision}, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("read the settings of the installation: %w", err)
	}
	text, _, _ := unstructured.NestedString(o.Object, "data", stateKey)
	return operator.Settings{Revision: revision, Files: []operator.File{{Name: nameOf(o), Text: []byte(text)}}}, true, nil
}
