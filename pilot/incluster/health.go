package incluster

import (
	"context"
	"maps"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Health is what a machine said of its application.
type Health struct {
	Healthy bool
	Message string
	Probed  time.Time
}

// WriteHealth writes the health of a machine to the status of its WorkloadEntry, as Istio does: the condition
// Healthy, with the time at which the machine said so.
func WriteHealth(ctx context.Context, objects dynamic.Interface, key model.Key, h Health) error {
	return editHealth(ctx, objects, key, func(former map[string]any) (map[string]any, bool) {
		return healthCondition(h, former), true
	})
}

// RemoveHealth takes the condition away, unless it is of another time than since: then another control plane hears
// the machine.
func RemoveHealth(ctx context.Context, objects dynamic.Interface, key model.Key, since time.Time) error {
	return editHealth(ctx, objects, key, func(former map[string]any) (map[string]any, bool) {
		return nil, isOf(former, since)
	})
}

// AskHealth asks, by the condition's reason, whether a control plane hears the machine still; unless the condition
// is of another time than since, or was asked for already.
func AskHealth(ctx context.Context, objects dynamic.Interface, key model.Key, since time.Time) error {
	return editHealth(ctx, objects, key, func(former map[string]any) (map[string]any, bool) {
		next := maps.Clone(former)
		if !isOf(former, since) || former["reason"] != model.ReasonHeard {
			return nil, false
		}
		next["reason"] = model.ReasonAsked
		return next, true
	})
}

// editHealth replaces the condition, nil for none, by what edit makes of it, if it tells that it is to be written.
func editHealth(ctx context.Context, objects dynamic.Interface, key model.Key, edit func(map[string]any) (map[string]any, bool)) error {
	client := istioObjects(objects, key)
	now, err := present(ctx, client, key.Name)
	if now == nil || err != nil {
		return err
	}
	condition, is := edit(conditionOf(now, model.ConditionHealthy))
	if !is {
		return nil
	}
	_, err = writeCondition(ctx, client, now, model.ConditionHealthy, condition)
	return err
}

// isOf tells whether a condition is of a time, however that is written.
func isOf(c map[string]any, t time.Time) bool {
	text, _ := c["lastProbeTime"].(string)
	probed, err := time.Parse(time.RFC3339Nano, text)
	return err == nil && probed.Equal(t)
}

// healthCondition gives the condition; its last transition is that of the former one where that says the same.
func healthCondition(h Health, former map[string]any) map[string]any {
	out := map[string]any{
		"type": model.ConditionHealthy, "status": "False", "reason": model.ReasonHeard,
		"lastProbeTime": stamp(h.Probed), "lastTransitionTime": stamp(h.Probed),
	}
	if h.Healthy {
		out["status"] = "True"
	}
	if h.Message != "" {
		out["message"] = h.Message
	}
	if text, ok := former["lastTransitionTime"].(string); ok && former["status"] == out["status"] {
		out["lastTransitionTime"] = text
	}
	return out
}

// stamp writes a time with all its digits, since it also tells who wrote.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
