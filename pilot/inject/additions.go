package inject

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// ownTemplate is the template of ours whose results are kept.
const ownTemplate = "sidecar"

// Bounds of what is kept. A result takes about 10 KB; most pods of a mesh share a few.
const (
	maxAdditions = 128
	maxAddition  = 16 << 10 // of a key, in bytes
	// moreEnv is how many variables the proxy gets for probes and metrics.
	moreEnv = 3
)

// additions keep what our own sidecar template adds to pods. A template takes most of an injection's time, and many
// pods that come at once are alike. It runs on an input in which marks stand for the texts that it writes as they are,
// and each pod then gets its own texts. As it sees the input and nothing else, no pod gets what is another's. Those of an injector end with it.
type additions struct {
	mark string // begins each mark; nobody can guess it

	mu   sync.Mutex
	kept map[string]*addition
}

// addition is what a template adds, with marks, and where these are. The pod is nil where the template's result is
// not of this form.
type addition struct {
	pod                 *corev1.Pod
	labels, annotations map[string]int // the number of the text, by name
	env                 []envMark
}

// envMark is the value of a container's variable. Init containers come first.
type envMark struct{ container, variable, text int }

func newAdditions() *additions {
	return &additions{mark: "mark-" + rand.Text() + "-", kept: map[string]*addition{}}
}

// marked gives an input with marks instead of the texts that are there.
func (a *additions) marked(i input) *input {
	for n, text := range i.texts() {
		if *text != "" {
			*text = a.markOf(n)
		}
	}
	return &i
}

func (a *additions) markOf(n int) string { return a.mark + string(rune('a'+n)) }

// textOf gives the number of the text for which a value stands.
func (a *additions) textOf(value string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(value, a.mark)
	if !ok || len(rest) != 1 {
		return 0, false
	}
	return int(rest[0] - 'a'), true
}

// get gives what is kept under a key, nil for nothing.
func (a *additions) get(key []byte) *addition {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[string(key)]
}

// keep notes an addition. Where there is no room, what was kept goes: what is still wanted comes back.
func (a *additions) keep(key []byte, made *addition) {
	if len(key) > maxAddition {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= maxAdditions {
		clear(a.kept)
	}
	a.kept[string(key)] = made
}

// find notes where marks are in a pod. Where one is elsewhere, or within another text, the pod is dropped.
func (a *additions) find(pod *corev1.Pod) (*addition, error) {
	out := &addition{pod: pod, labels: a.inMap(pod.Labels), annotations: a.inMap(pod.Annotations)}
	for i, c := range allContainers(pod) {
		for j := range c.Env {
			if n, ok := a.textOf(c.Env[j].Value); ok {
				out.env = append(out.env, envMark{i, j, n})
			}
		}
	}
	text, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	if bytes.Count(text, []byte(a.mark)) != len(out.labels)+len(out.annotations)+len(out.env) {
		return &addition{}, nil
	}
	return out, nil
}

func (a *additions) inMap(in map[string]string) map[string]int {
	out := map[string]int{}
	for name, value := range in {
		if n, ok := a.textOf(value); ok {
			out[name] = n
		}
	}
	return out
}

// with gives the pod with its texts. What is beneath its containers and volumes is shared, but for variables.
func (a *addition) with(texts []*string) *corev1.Pod {
	out := &corev1.Pod{Spec: a.pod.Spec}
	out.Labels, out.Annotations = maps.Clone(a.pod.Labels), maps.Clone(a.pod.Annotations)
	for name, n := range a.labels {
		out.Labels[name] = *texts[n]
	}
	for name, n := range a.annotations {
		out.Annotations[name] = *texts[n]
	}
	out.Spec.InitContainers, out.Spec.Containers = slices.Clone(a.pod.Spec.InitContainers), slices.Clone(a.pod.Spec.Containers)
	for _, c := range allContainers(out) {
		if c.Env != nil {
			c.Env = append(make([]corev1.EnvVar, 0, len(c.Env)+moreEnv), c.Env...)
		}
	}
	containers := allContainers(out)
	for _, m := range a.env {
		containers[m.container].Env[m.variable].Value = *texts[m.text]
	}
	return out
}

// addition gives what templates add to a pod, or nil where they do more than that.
func (in *Injector) addition(names []string, data *templateData) (*corev1.Pod, error) {
	if !in.keeps || len(names) != 1 || names[0] != ownTemplate {
		return nil, nil
	}
	marked := in.additions.marked(data.input)
	key, err := marked.key(in.mesh.DefaultConfig)
	if err != nil {
		return nil, err
	}
	known := in.additions.get(key)
	if known == nil {
		patch, err := in.execute(ownTemplate, marked)
		if err != nil {
			return nil, err
		}
		known = &addition{}
		if pod := in.added(patch); pod != nil {
			if known, err = in.additions.find(pod); err != nil {
				return nil, fmt.Errorf("injection template %s: %w", ownTemplate, err)
			}
		}
		in.additions.keep(key, known)
	}
	if known.pod == nil {
		return nil, nil
	}
	return known.with(data.texts()), nil
}
