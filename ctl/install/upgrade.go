package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// ErrNotInstalled tells that there is no control plane of a revision.
var ErrNotInstalled = errors.New("the revision is not installed")

// ErrDowngrade tells that an older control plane would take the place of a newer one.
var ErrDowngrade = errors.New("the control plane in the cluster is newer")

// Upgradable looks whether a plan can take the place of what is installed of its revision: there has to be
// something of ours, and nothing newer unless downgrade allows that. It gives the tags of both images.
func (c *Cluster) Upgradable(ctx context.Context, p *operator.Plan, downgrade bool) (from, to string, err error) {
	name := "istiod" + operator.Suffix(p.Revision)
	now, err := c.client.Resource(deployments).Namespace(p.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", "", fmt.Errorf("%w: there is no Deployment %s in %s; install it beside the others with pilotctl install --revision %s", ErrNotInstalled, name, p.Namespace, p.Revision)
	}
	if err != nil {
		return "", "", fmt.Errorf("read Deployment %s: %w", name, err)
	}
	if err := c.clash(ctx, p, false); err != nil {
		return "", "", err
	}
	objects, err := p.All(false)
	if err != nil {
		return "", "", err
	}
	at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" && o.GetName() == name })
	if at < 0 {
		return "", "", errors.New("the settings have no control plane to upgrade to")
	}
	from, to = imageTag(now), imageTag(objects[at])
	older, err1 := semver.NewVersion(to)
	newer, err2 := semver.NewVersion(from)
	if err1 == nil && err2 == nil && older.LessThan(newer) && !downgrade {
		return from, to, fmt.Errorf("%w: it is %s, and this would be %s; with --allow-downgrade it is done", ErrDowngrade, from, to)
	}
	return from, to, nil
}

// imageTag is the tag of a Deployment's image.
func imageTag(o *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		m, _ := c.(map[string]any)
		image, _ := m["image"].(string)
		image, _, _ = strings.Cut(image, "@")
		if at := strings.LastIndex(image, ":"); at > strings.LastIndex(image, "/") {
			return image[at+1:]
		}
	}
	return ""
}
