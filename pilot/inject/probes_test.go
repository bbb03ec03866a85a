package inject

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// injectText injects a pod that is written as YAML.
func injectText(t *testing.T, o Options, text string) *corev1.Pod {
	t.Helper()
	in, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	out, injected, err := in.Pod(pod, nil, Owner{})
	if err != nil || !injected {
		t.Fatalf("injected %v, error %v", injected, err)
	}
	return out
}

// secretOf gives the secret of a pod with the probe of podWithProbe: that of the probe, which has to be
// the proxy's.
func secretOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	for _, c := range pod.Spec.Containers {
		if c.Name != "app" {
			continue
		}
		headers := c.ReadinessProbe.HTTPGet.HTTPHeaders
		if len(headers) != 1 || headers[0].Name != ProbeHeader || headers[0].Value != getEnv(findProxy(pod).Env, envProbeToken) {
			t.Fatalf("the probe's headers are %v, the proxy's variables %v", headers, findProxy(pod).Env)
		}
		return headers[0].Value
	}
	t.Fatal("there is no container app")
	return ""
}

// TestProbeSecret says that each pod has a secret of its own, which a further injection leaves as it
// is, and which the user may choose.
func TestProbeSecret(t *testing.T) {
	first := injectText(t, Options{}, podWithProbe)
	secret := secretOf(t, first)
	if other := secretOf(t, injectText(t, Options{}, podWithProbe)); other == secret || len(secret) != 32 {
		t.Errorf("two pods have the secrets %q and %q", secret, other)
	}
	again := injectText(t, Options{}, string(toText(t, first)))
	if s := secretOf(t, again); s != secret {
		t.Errorf("after a second injection the secret is %q, not %q", s, secret)
	}
	const own = "\n  - name: istio-proxy\n    env: [{name: PILOTHOUSE_PROBE_TOKEN, value: mine}]\n  volumes"
	if s := secretOf(t, injectText(t, Options{}, strings.Replace(podWithProbe, "\n  volumes", own, 1))); s != "mine" {
		t.Errorf("the user's secret is not taken, but %q", s)
	}
}

type exhausted struct{}

func (exhausted) Read([]byte) (int, error) { return 0, errors.New("no chance") }

// TestNoChance says that without chance there is an error, and no pod with an empty secret.
func TestNoChance(t *testing.T) {
	in, err := New(Options{Random: exhausted{}})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(podWithProbe), pod); err != nil {
		t.Fatal(err)
	}
	if _, _, err := in.Pod(pod, nil, Owner{}); err == nil || !strings.Contains(err.Error(), envProbeToken) {
		t.Errorf("error %v", err)
	}
}

// TestAddedByOthers says that what others did to the proxy's container outlives a further injection,
// and what an earlier one needed does not.
func TestAddedByOthers(t *testing.T) {
	pod := injectText(t, Options{}, podWithProbe)
	proxy := findProxy(pod)
	proxy.Env = append(proxy.Env, corev1.EnvVar{Name: "HTTP_PROXY", Value: "http://out:3128"}, corev1.EnvVar{Name: "ISTIO_META_OLD", Value: "x"})
	proxy.VolumeMounts = append(proxy.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: "/data"},
		corev1.VolumeMount{Name: "gone", MountPath: "/gone"})
	proxy.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	pod.Annotations["sidecar.istio.io/logLevel"] = "debug"
	pod.Annotations["sidecar.istio.io/rewriteAppHTTPProbers"] = "false"
	text := string(toText(t, injectText(t, Options{}, string(toText(t, pod)))))
	for _, want := range []string{"value: http://out:3128", "mountPath: /data", "terminationMessagePolicy: FallbackToLogsOnError", "--proxyLogLevel=debug"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is lost:\n%s", want, text)
		}
	}
	for _, gone := range []string{"ISTIO_META_OLD", "mountPath: /gone", envProbers, "--proxyLogLevel=warning"} {
		if strings.Contains(text, gone) {
			t.Errorf("%q is left over:\n%s", gone, text)
		}
	}
}
