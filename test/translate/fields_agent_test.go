package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// proxyConfigVariable is how the agent of a pod is told its ProxyConfig.
const proxyConfigVariable = "PROXY_CONFIG"

// machineAddress is where the machine of the world is.
const machineAddress = "10.0.0.61"

// buildAgent gives the agent's program.
func buildAgent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pilot-agent")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", path, "../../agent/cmd/pilot-agent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// agents ask the agent's program what it would do.
type agents struct {
	program string
	plans   map[string]plan // by what an agent is told
}

// plan is what the program says, or why it refuses.
type plan struct {
	text []byte
	err  error
}

// inPod gives the plan of the agent in a pod that was injected.
func (a *agents) inPod(t *testing.T, pod *corev1.Pod) ([]byte, error) {
	t.Helper()
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == model.ProxyContainer })
	if i < 0 {
		return nil, errors.New("the pod has no proxy")
	}
	proxy := pod.Spec.Containers[i]
	env := map[string]string{}
	for _, v := range proxy.Env {
		env[v.Name] = v.Value
		if v.ValueFrom != nil {
			env[v.Name] = downward(t, pod, &proxy, v.ValueFrom)
		}
	}
	args := slices.Clone(proxy.Args)
	for i := range args {
		args[i] = os.Expand(strings.NewReplacer("$(", "${", ")", "}").Replace(args[i]), func(name string) string { return env[name] })
	}
	return a.ask(t, args, env, map[string][]byte{"etc/istio/pod/labels": lines(pod.Labels), "etc/istio/pod/annotations": lines(pod.Annotations)})
}

// downward gives the value of a variable that a kubelet knows.
func downward(t *testing.T, pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource) string {
	t.Helper()
	if r := from.ResourceFieldRef; r != nil {
		q := c.Resources.Limits[corev1.ResourceName(strings.TrimPrefix(r.Resource, "limits."))]
		return fmt.Sprint(q.Value())
	}
	fields := map[string]string{
		"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "metadata.uid": string(pod.UID), "status.podIP": pod.Status.PodIP,
		"status.hostIP": pod.Status.HostIP, "spec.serviceAccountName": pod.Spec.ServiceAccountName, "spec.nodeName": pod.Spec.NodeName,
	}
	value, ok := fields[from.FieldRef.FieldPath]
	if !ok {
		t.Fatalf("no kubelet tells %s here", from.FieldRef.FieldPath)
	}
	return value
}

// lines writes labels or annotations as a kubelet does.
func lines(m map[string]string) []byte {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%q\n", key, m[key])
	}
	return b.Bytes()
}

// onMachine gives the plan of a machine's agent, which has the files of pilotctl.
func (a *agents) onMachine(t *testing.T, files map[string][]byte) ([]byte, error) {
	t.Helper()
	env := variables(files["cluster.env"])
	env["POD_NAME"], env["INSTANCE_IP"] = "vm", machineAddress
	return a.ask(t, []string{"proxy"}, env, map[string][]byte{"etc/istio/config/mesh": files["mesh.yaml"]})
}

// variables reads a machine's cluster.env.
func variables(text []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		out[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'"'"'`, `'`)
	}
	return out
}

// ask runs the program, in a network that has no interface, as those of this machine come and go. What it is told of ProxyConfig, and passes on to the control plane, is not a part of the plan.
func (a *agents) ask(t *testing.T, args []string, env map[string]string, files map[string][]byte) ([]byte, error) {
	t.Helper()
	key := strings.Join(args, " ") + "\n" + string(lines(env))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		key += name + "\n" + string(files[name])
	}
	if p, ok := a.plans[key]; ok {
		return p.text, p.err
	}
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), a.program, append(args, "--root", root, "--dry-run")...)
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	err := cmd.Run()
	p := plan{text: bytes.ReplaceAll(out.Bytes(), []byte(root), nil)}
	if err != nil {
		said := strings.Split(strings.TrimSpace(log.String()), "\n")
		p = plan{err: errors.New(strings.ReplaceAll(strings.TrimPrefix(said[len(said)-1], "Error: "), root, ""))}
	} else {
		p.text = readable(t, p.text)
	}
	a.plans[key] = p
	return p.text, p.err
}

// readable gives a plan whose arguments are one text, without what the agent passes on.
func readable(t *testing.T, text []byte) []byte {
	t.Helper()
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	envoy := whole["envoy"].(map[string]any)
	var arguments []string
	for _, a := range envoy["arguments"].([]any) {
		arguments = append(arguments, a.(string))
	}
	envoy["arguments"] = strings.Join(arguments, " ")
	if node, ok := whole["bootstrap"].(map[string]any)["node"].(map[string]any); ok {
		if metadata, ok := node["metadata"].(map[string]any); ok {
			delete(metadata, proxyConfigVariable)
		}
	}
	out, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
