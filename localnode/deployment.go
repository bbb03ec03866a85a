package localnode

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
)

// member is what a rollout has to know of one of its Deployment's pods.
type member struct {
	name    string
	hash    string // of the template that it was made from
	ready   bool
	leaving bool // it is being taken down
	born    time.Time
}

// rollout decides how many pods to make from the present template, and which to take down.
// Pods of a former template go only as new ones become ready.
func rollout(d *appsv1.Deployment, hash string, members []member) (create int, remove []string) {
	want := 1
	if d.Spec.Replicas != nil {
		want = int(*d.Spec.Replicas)
	}
	surge, unavailable := limits(d, want)
	var fresh, old []member
	ready := 0
	for _, m := range members {
		switch {
		case m.leaving:
			continue
		case m.hash == hash:
			fresh = append(fresh, m)
		default:
			old = append(old, m)
		}
		if m.ready {
			ready++
		}
	}
	// Those first that serve nobody, then the youngest.
	order := func(a, b member) int {
		return cmp.Or(cmp.Compare(toInt(a.ready), toInt(b.ready)), b.born.Compare(a.born), cmp.Compare(a.name, b.name))
	}
	slices.SortFunc(fresh, order)
	slices.SortFunc(old, order)
	for len(fresh) > want {
		remove, fresh = append(remove, fresh[0].name), fresh[1:]
	}
	for _, m := range old {
		if m.ready {
			if ready <= want-unavailable {
				break
			}
			ready--
		}
		remove = append(remove, m.name)
	}
	room := want + surge - len(fresh) - len(old)
	if len(old) == 0 {
		room = want - len(fresh)
	}
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType && anyOld(members, hash) {
		room = 0 // the old ones have to be gone
	}
	return max(min(want-len(fresh), room), 0), remove
}

func anyOld(members []member, hash string) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.hash != hash })
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// limits gives how many pods there may be too many, and how many ready ones too few, while a new
// template rolls out: a quarter each where nothing is said, but never no progress at all.
func limits(d *appsv1.Deployment, want int) (surge, unavailable int) {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0, want
	}
	quarter := intstr.FromString("25%")
	s, u := &quarter, &quarter
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		s, u = cmp.Or(r.MaxSurge, s), cmp.Or(r.MaxUnavailable, u)
	}
	surge, err := intstr.GetScaledValueFromIntOrPercent(s, want, true)
	if err != nil {
		surge = int(math.Ceil(float64(want) / 4))
	}
	unavailable, err = intstr.GetScaledValueFromIntOrPercent(u, want, false)
	if err != nil {
		unavailable = want / 4
	}
	if surge <= 0 && unavailable <= 0 {
		surge = 1
	}
	return surge, unavailable
}

// alphabet has no vowels, so that no name says anything, and no letters that look alike.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

// hashOf gives ten characters that stand for a value.
func hashOf(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("hash a template: %w", err)
	}
	h := fnv.New64a()
	h.Write(b)
	sum := h.Sum64()
	out := make([]byte, 10)
	for i := range out {
		out[i] = alphabet[sum%uint64(len(alphabet))]
		sum /= uint64(len(alphabet))
	}
	return string(out), nil
}

func randomSuffix() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b) // it never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// podOf makes a pod from a Deployment's template, with the names that Kubernetes would give.
func podOf(d *appsv1.Deployment, hash string) *corev1.Pod {
	set := d.Name + "-" + hash
	p := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
	p.Namespace = d.Namespace
	p.GenerateName = set + "-"
	p.Name = set + "-" + randomSuffix()
	p.Labels = maps.Clone(p.Labels)
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels["pod-template-hash"] = hash
	yes := true
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set, UID: types.UID(pod.UID("ReplicaSet", d.Namespace, set)),
		Controller: &yes, BlockOwnerDeletion: &yes,
	}}
	return p
}

// complete fills in what an API server would.
func complete(p *corev1.Pod) {
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	p.UID = types.UID(newUID())
	p.CreationTimestamp = metav1.Now()
	p.ResourceVersion = ""
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	s := &p.Spec
	s.ServiceAccountName = cmp.Or(s.ServiceAccountName, s.DeprecatedServiceAccount, "default")
	s.DeprecatedServiceAccount = s.ServiceAccountName
	s.RestartPolicy = cmp.Or(s.RestartPolicy, corev1.RestartPolicyAlways)
	if s.TerminationGracePeriodSeconds == nil {
		seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
		s.TerminationGracePeriodSeconds = &seconds
	}
	for i := range s.InitContainers {
		completeContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		completeContainer(&s.Containers[i])
	}
}

// completeContainer gives requests where only limits are, and protocols.
func completeContainer(c *corev1.Container) {
	for name, q := range c.Resources.Limits {
		if _, ok := c.Resources.Requests[name]; !ok {
			if c.Resources.Requests == nil {
				c.Resources.Requests = corev1.ResourceList{}
			}
			c.Resources.Requests[name] = q
		}
	}
	for i := range c.Ports {
		c.Ports[i].Protocol = cmp.Or(c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
}

// newUID gives a random identity of version 4.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// isReady tells whether a pod takes traffic.
func isReady(p *corev1.Pod) bool {
	if p == nil || p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
