package inject

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// envProbers is the variable by which the agent knows the application's own probes.
const envProbers = "ISTIO_KUBE_APP_PROBERS"

// The agent answers at the paths of probes and hooks only who sends ProbeHeader with the value of
// the variable envProbeToken: the kubelet, which reads it in the pod. Anyone else who reaches the
// pod could run its hooks. Package agent/status has the same two names.
const (
	ProbeHeader   = "X-Pilothouse-Probe"
	envProbeToken = "PILOTHOUSE_PROBE_TOKEN"
)

// probeToken gives the pod's secret: the one that the proxy has from an earlier injection, or from the
// user, else 128 random bits.
func (in *Injector) probeToken(proxy *corev1.Container) (string, error) {
	if token := getEnv(proxy.Env, envProbeToken); token != "" {
		return token, nil
	}
	var bits [16]byte
	if _, err := io.ReadFull(in.random, bits[:]); err != nil {
		return "", fmt.Errorf("making %s: %w", envProbeToken, err)
	}
	token := hex.EncodeToString(bits[:])
	proxy.Env = slices.DeleteFunc(proxy.Env, func(e corev1.EnvVar) bool { return e.Name == envProbeToken })
	setEnv(proxy, envProbeToken, token)
	return token, nil
}

// prober is one of the application's probes or hooks, as the agent reads it.
type prober struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"`
}

// handler is a probe or a hook of a container, with the path under which the agent serves it.
type handler struct {
	path    string
	http    **corev1.HTTPGetAction
	tcp     **corev1.TCPSocketAction
	grpc    **corev1.GRPCAction
	timeout int32
}

// handlers lists a container's probes and hooks.
func handlers(c *corev1.Container) []handler {
	var out []handler
	for _, p := range []struct {
		name  string
		probe *corev1.Probe
	}{{"readyz", c.ReadinessProbe}, {"livez", c.LivenessProbe}, {"startupz", c.StartupProbe}} {
		if p.probe != nil {
			h := &p.probe.ProbeHandler
			out = append(out, handler{"/app-health/" + c.Name + "/" + p.name, &h.HTTPGet, &h.TCPSocket, &h.GRPC, p.probe.TimeoutSeconds})
		}
	}
	if c.Lifecycle == nil {
		return out
	}
	for _, l := range []struct {
		name string
		hook *corev1.LifecycleHandler
	}{{"prestopz", c.Lifecycle.PreStop}, {"poststartz", c.Lifecycle.PostStart}} {
		if l.hook != nil {
			out = append(out, handler{"/app-lifecycle/" + c.Name + "/" + l.name, &l.hook.HTTPGet, &l.hook.TCPSocket, nil, 0})
		}
	}
	return out
}

// prober gives what the agent has to do, or nil if it need not: commands are run by the
// kubelet, and a port whose name the container does not know stays for the kubelet to report.
func (h handler) prober(c *corev1.Container) *prober {
	p := &prober{TimeoutSeconds: h.timeout}
	var port *intstr.IntOrString
	switch {
	case *h.http != nil:
		p.HTTPGet = (*h.http).DeepCopy()
		port = &p.HTTPGet.Port
	case *h.tcp != nil:
		p.TCPSocket = (*h.tcp).DeepCopy()
		port = &p.TCPSocket.Port
	case h.grpc != nil && *h.grpc != nil:
		p.GRPC = (*h.grpc).DeepCopy()
		return p
	default:
		return nil
	}
	if port.Type == intstr.String {
		i := slices.IndexFunc(c.Ports, func(cp corev1.ContainerPort) bool { return cp.Name == port.StrVal })
		if i < 0 {
			return nil
		}
		*port = intstr.FromInt32(c.Ports[i].ContainerPort)
	}
	return p
}

// rewriteProbes sends the application's probes and hooks through the agent: the kubelet has no
// certificate of the mesh, and what it sends would be captured.
func (in *Injector) rewriteProbes(pod *corev1.Pod, data *templateData) error {
	proxy := findProxy(pod)
	if proxy == nil || !data.rewrite || data.StatusPort == 0 {
		return nil
	}
	probers := map[string]prober{}
	var rewritten []*corev1.HTTPGetAction
	for _, c := range allContainers(pod) {
		if c.Name == model.ProxyContainer {
			continue
		}
		for _, h := range handlers(c) {
			p := h.prober(c)
			if p == nil {
				continue
			}
			probers[h.path] = *p
			*h.http = &corev1.HTTPGetAction{Path: h.path, Port: intstr.FromInt(data.StatusPort)}
			rewritten = append(rewritten, *h.http)
			*h.tcp = nil
			if h.grpc != nil {
				*h.grpc = nil
			}
		}
	}
	if len(probers) == 0 {
		return nil
	}
	text, err := json.Marshal(probers)
	if err != nil {
		return fmt.Errorf("writing %s: %w", envProbers, err)
	}
	token, err := in.probeToken(proxy)
	if err != nil {
		return err
	}
	setEnv(proxy, envProbers, string(text))
	for _, get := range rewritten {
		get.HTTPHeaders = []corev1.HTTPHeader{{Name: ProbeHeader, Value: token}}
	}
	return nil
}

// restoreProbes is the inverse of rewriteProbes, but for ports that had names.
func restoreProbes(pod *corev1.Pod, env []corev1.EnvVar) error {
	text := getEnv(env, envProbers)
	if text == "" {
		return nil
	}
	probers := map[string]prober{}
	if err := json.Unmarshal([]byte(text), &probers); err != nil {
		return fmt.Errorf("container %s: %s of an earlier injection: %w", model.ProxyContainer, envProbers, err)
	}
	for _, c := range allContainers(pod) {
		for _, h := range handlers(c) {
			p, ok := probers[h.path]
			if !ok || *h.http == nil || !strings.HasPrefix((*h.http).Path, "/app-") {
				continue
			}
			*h.http, *h.tcp = p.HTTPGet, p.TCPSocket
			if h.grpc != nil {
				*h.grpc = p.GRPC
			}
		}
	}
	return nil
}

// setEnv sets a variable, unless the user has set it.
func setEnv(c *corev1.Container, name, value string) {
	if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

func getEnv(env []corev1.EnvVar, name string) string {
	for _, e := range env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
