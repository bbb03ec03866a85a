package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// rootIsRotated rotates the root in the Secret under load, with two replicas of the control plane, by pilotctl and
// without force (R9). No page fails, and at the end nobody trusts the former root.
func (w *world) rootIsRotated(ctx context.Context, url string) {
	w.Helper()
	w.delivers(ctx, 2, `{"name":"PILOT_ROOT_DELIVERY_DELAY","value":"15s"}`) // the kubelet here looks at pods each 10 s
	w.replicas(ctx, 2, nil)
	w.served(ctx, 2)
	former := w.rootOf(ctx, "default")
	l := loading(ctx, url)
	defer l.stop()
	l.meanwhile("the root is rotated")
	began := time.Now()
	w.ca(ctx, "start") // returns when the new key signs
	signs := time.Now()
	if both := w.rootOf(ctx, "default"); strings.Count(both, "BEGIN CERTIFICATE") != 2 || !strings.Contains(both, former) {
		w.Errorf("roots while the new key signs: %s", both)
	}
	w.ca(ctx, "finish", "--wait", "3m")
	ended := time.Now()
	l.meanwhile("the former root is gone")
	w.until(ctx, "the former root to be gone", func(ctx context.Context) (bool, error) { return w.withoutRoot(ctx, former) })
	w.until(ctx, "pages after the rotation", func(context.Context) (bool, error) { return l.asked() > 20, fmt.Errorf("%d pages", l.asked()) })
	l.end(w)
	w.Logf("rotation of the root: the new key signed after %s, the former root was dropped after %s and nowhere any more after %s",
		signs.Sub(began).Round(time.Second), ended.Sub(began).Round(time.Second), time.Since(began).Round(time.Second))
	w.injectedBy(ctx, "default", "rotated", "default") // by a webhook that the API server verifies by the new root
	now := int64(0)
	if err := w.client.CoreV1().Pods("default").Delete(ctx, "rotated", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		w.Fatal(err)
	}
	w.delivers(ctx, 1, `{"name":"PILOT_ROOT_DELIVERY_DELAY","$patch":"delete"}`)
	w.replicas(ctx, 1, nil)
}

// delivers gives the control plane so many replicas and a variable.
func (w *world) delivers(ctx context.Context, replicas int, variable string) {
	w.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d,"template":{"spec":{"containers":[{"name":"discovery","env":[%s]}]}}}}`, replicas, variable)
	if _, err := w.client.AppsV1().Deployments("istio-system").Patch(ctx, "istiod", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.Fatal(err)
	}
}

// ca runs a step of a rotation.
func (w *world) ca(ctx context.Context, args ...string) {
	w.Helper()
	out, err := w.pilotctl(ctx, append([]string{"ca", "rotate"}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("pilotctl ca rotate %v: %v: %s", args, err, out)
	}
	w.Logf("pilotctl ca rotate %s: %s", strings.Join(args, " "), out)
}

// rootOf gives the roots that the pods of a namespace mount.
func (w *world) rootOf(ctx context.Context, namespace string) string {
	w.Helper()
	m, err := w.client.CoreV1().ConfigMaps(namespace).Get(ctx, "istio-ca-root-cert", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return m.Data["root-cert.pem"]
}

// withoutRoot tells whether nobody trusts a root any more: no namespace, no webhook and no Envoy.
func (w *world) withoutRoot(ctx context.Context, former string) (bool, error) {
	maps, err := w.client.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=istio-ca-root-cert"})
	if err != nil {
		return false, err
	}
	for _, m := range maps.Items {
		if strings.Contains(m.Data["root-cert.pem"], former) {
			return false, errors.New("namespace " + m.Namespace + " has it")
		}
	}
	hooks, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "istio-sidecar-injector", metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	for _, h := range hooks.Webhooks {
		if strings.Contains(string(h.ClientConfig.CABundle), former) || len(h.ClientConfig.CABundle) == 0 {
			return false, errors.New("webhook " + h.Name + " has it")
		}
	}
	out, err := w.pilotctl(ctx, "ca", "rotate", "status", "-o", "json").Output()
	if err != nil {
		return false, said(err)
	}
	var status struct {
		Stage string
		Roots []string
	}
	if err := json.Unmarshal(out, &status); err != nil || status.Stage != "steady" || len(status.Roots) != 1 {
		return false, fmt.Errorf("status %s: %w", out, err)
	}
	return w.noEnvoyTrusts(ctx, former)
}

// noEnvoyTrusts asks each Envoy for its roots.
func (w *world) noEnvoyTrusts(ctx context.Context, former string) (bool, error) {
	list, err := w.pilotctl(ctx, "proxy-status").Output()
	if err != nil {
		return false, said(err)
	}
	proxies := 0
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n")[1:] {
		pod := strings.Fields(line)[0]
		dump, err := w.pilotctl(ctx, "proxy-config", "secret", pod, "-o", "json").Output()
		if err != nil {
			return false, fmt.Errorf("%s: %w", pod, said(err))
		}
		roots, err := trusted(dump)
		if err != nil || strings.Contains(roots, former) || strings.Count(roots, "BEGIN CERTIFICATE") != 1 {
			return false, fmt.Errorf("%s trusts %q (%w)", pod, roots, err)
		}
		proxies++
	}
	return proxies > 5, fmt.Errorf("only %d proxies", proxies)
}

// trusted gives the roots of the mesh that a dump of secrets has.
func trusted(dump []byte) (string, error) {
	var all any
	if err := json.Unmarshal(dump, &all); err != nil {
		return "", err
	}
	var found []byte
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case map[string]any:
			if v["name"] == "ROOTCA" {
				text, err := json.Marshal(v)
				var s struct {
					Secret struct {
						ValidationContext struct{ TrustedCa struct{ InlineBytes []byte } }
					}
				}
				if err == nil && json.Unmarshal(text, &s) == nil {
					found = append(found, s.Secret.ValidationContext.TrustedCa.InlineBytes...)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(all)
	if found == nil {
		return "", errors.New("it has no roots")
	}
	return string(found), nil
}

// said adds what a program has printed to its error.
func said(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}
