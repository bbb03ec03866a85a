package incluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// Objects are what the source knows of the objects whose status tells what is wrong with them.
type Objects interface {
	// Noted gives what the API server has of an object beside its content, false for none.
	Noted(model.Key) (model.Noted, bool)
	// Marked gives the objects that have a condition of this control plane.
	Marked() []model.Key
	// Changed gives a channel that is closed when one of these gives something else.
	Changed() <-chan struct{}
}

// Problems are the present ones.
type Problems interface {
	Problems() []model.Problem
	Changed() <-chan struct{}
}

// The rate of writing: at most so many objects in each round, and a round in so long.
const (
	perRound = 10
	round    = time.Second
	// settling is how long a new leader leaves conditions alone that it finds without reason: what proxies
	// refuse it hears when they have come back.
	settling = 15 * time.Second
)

// conditions keeps the status of objects as the problems say.
type conditions struct {
	Options
	heard *heard
	kind  string
	since time.Time // this replica leads
	last  model.Key // written; the next round goes on after it
}

// keepConditions writes until ctx ends.
func keepConditions(ctx context.Context, opts Options) {
	c := &conditions{Options: opts, heard: newHeard(opts), kind: ConditionType(opts.Revision), since: time.Now()}
	var hearing sync.WaitGroup
	hearing.Go(func() { c.heard.run(ctx) })
	defer hearing.Wait()
	tick := time.NewTicker(round)
	defer tick.Stop()
	for {
		problems, objects, heard := c.Problems.Changed(), c.Objects.Changed(), c.heard.Changed()
		left := c.write(ctx)
		select { // the pause also lets the problems of one edit come together
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if left {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-problems:
		case <-objects:
		case <-heard:
		}
	}
}

// write brings at most perRound objects to what the problems say, and tells whether something is left.
func (c *conditions) write(ctx context.Context) (left bool) {
	wanted := c.wanted()
	due, waiting := c.due(wanted)
	left = waiting || len(due) > perRound
	for _, key := range due[:min(perRound, len(due))] {
		c.last = key
		if err := c.set(ctx, key, wanted[key]); err != nil && ctx.Err() == nil {
			c.Logger.Warn("cannot write the status of an object", "object", key.String(), "error", err)
			left = true
		}
	}
	return left
}

// wanted gives the condition of each object that has problems.
func (c *conditions) wanted() map[model.Key]*metav1.Condition {
	of := map[model.Key][]model.Problem{}
	for _, p := range c.heard.with(c.Problems.Problems()) {
		if _, ours := kinds.OfIstio()[p.Object.Kind]; ours && p.Object.Cluster == "" && p.Origin.File == "" {
			of[p.Object] = append(of[p.Object], p)
		}
	}
	out := make(map[model.Key]*metav1.Condition, len(of))
	for key, problems := range of {
		out[key] = conditionFor(c.kind, problems)
	}
	return out
}

// due gives the objects whose condition is another one, first those after the last that was written, and
// tells whether some have to wait until this leader has settled.
func (c *conditions) due(wanted map[model.Key]*metav1.Condition) (due []model.Key, waiting bool) {
	for key, condition := range wanted {
		if n, ok := c.Objects.Noted(key); ok {
			condition.ObservedGeneration = n.Generation
			if !sameCondition(n.Condition, condition) {
				due = append(due, key)
			}
		}
	}
	for _, key := range c.Objects.Marked() {
		if wanted[key] != nil {
			continue
		}
		n, ok := c.Objects.Noted(key)
		switch {
		case !ok || n.Condition == nil:
		case n.Condition.ObservedGeneration == n.Generation && time.Since(c.since) < settling:
			waiting = true
		default:
			due = append(due, key)
		}
	}
	slices.SortFunc(due, model.Key.Compare)
	after, _ := slices.BinarySearchFunc(due, c.last, func(a, b model.Key) int {
		if a.Compare(b) <= 0 {
			return -1
		}
		return 1
	})
	return slices.Concat(due[after:], due[:after]), waiting
}

// set writes an object's condition, or takes it away if wanted is nil, unless there is another object or
// content by now, of which the source will tell.
func (c *conditions) set(ctx context.Context, key model.Key, wanted *metav1.Condition) error {
	noted, ok := c.Objects.Noted(key)
	group, err := schema.ParseGroupVersion(noted.APIVersion)
	if !ok || err != nil {
		return err
	}
	client := c.Dynamic.Resource(group.WithResource(kinds.Resource(key.Kind))).Namespace(key.Namespace)
	now, err := present(ctx, client, key.Name)
	if now == nil || err != nil {
		return err
	}
	if string(now.GetUID()) != noted.UID || now.GetGeneration() != noted.Generation {
		return nil
	}
	condition, err := written(wanted, conditionOf(now, c.kind))
	if err != nil {
		return err
	}
	if done, err := writeCondition(ctx, client, now, c.kind, condition); !done || saysSame(noted.Condition, wanted) {
		return err
	}
	return c.tell(ctx, now, wanted)
}

// written gives a condition, nil for none, as a status has it. Its last transition is that of the former one where
// that says the same.
func written(wanted *metav1.Condition, former map[string]any) (map[string]any, error) {
	if wanted == nil {
		return nil, nil
	}
	out := *wanted
	out.LastTransitionTime = metav1.Now()
	if text, _ := former["lastTransitionTime"].(string); former["status"] == string(wanted.Status) {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			out.LastTransitionTime = metav1.NewTime(t)
		}
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(&out)
}

// tell makes an event of what became of an object.
func (c *conditions) tell(ctx context.Context, of *unstructured.Unstructured, condition *metav1.Condition) error {
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", of.GetName(), now.UnixNano()), Namespace: of.GetNamespace()},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: of.GetAPIVersion(), Kind: of.GetKind(), Namespace: of.GetNamespace(), Name: of.GetName(),
			UID: of.GetUID(), ResourceVersion: of.GetResourceVersion(),
		},
		Type: corev1.EventTypeNormal, Reason: "Accepted", Message: "the problems with it are solved",
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "istiod"}, ReportingController: "istiod", ReportingInstance: c.Identity,
	}
	if condition != nil {
		event.Type, event.Reason, event.Message = corev1.EventTypeWarning, condition.Reason, condition.Message
	}
	if len(event.Message) > maxEvent {
		event.Message = strings.ToValidUTF8(event.Message[:maxEvent], "")
	}
	_, err := c.Client.CoreV1().Events(of.GetNamespace()).Create(ctx, event, metav1.CreateOptions{})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}

// maxEvent bounds an event's message, in bytes, as the API server does.
const maxEvent = 1024
