package operator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// put sets a value at a path of fields, and makes the maps on its way.
func put(values map[string]any, path string, value any) {
	fields := strings.Split(path, ".")
	for _, f := range fields[:len(fields)-1] {
		inner, ok := values[f].(map[string]any)
		if !ok {
			inner = map[string]any{}
			values[f] = inner
		}
		values = inner
	}
	values[fields[len(fields)-1]] = value
}

// names are where the settings of a component are in a chart's values.
type names struct {
	replicas, autoscale, least, most, behavior, cpu, memory string
	budget, serviceAnnotations, pullPolicy, priority        string
}

var (
	pilotNames = names{
		"replicaCount", "autoscaleEnabled", "autoscaleMin", "autoscaleMax", "autoscaleBehavior",
		"cpu.targetAverageUtilization", "memory.targetAverageUtilization",
		"pdb", "serviceAnnotations", "global.imagePullPolicy", "global.priorityClassName",
	}
	gatewayNames = names{
		"replicaCount", "autoscaling.enabled", "autoscaling.minReplicas", "autoscaling.maxReplicas", "autoscaling.autoscaleBehavior",
		"autoscaling.targetCPUUtilizationPercentage", "autoscaling.targetMemoryUtilizationPercentage",
		"podDisruptionBudget", "service.annotations", "imagePullPolicy", "priorityClassName",
	}
)

// into writes the settings into values of the chart that workload, a Deployment, is of. What has no effect is named by its field.
func (k kubernetes) into(values map[string]any, n names, workload, field string) []Problem {
	for path, value := range map[string]map[string]any{
		"affinity": k.Affinity, "nodeSelector": k.NodeSelector, "podAnnotations": k.PodAnnotations,
		n.budget: k.PodDisruptionBudget, n.serviceAnnotations: k.ServiceAnnotations, "resources": k.Resources,
	} {
		if len(value) > 0 {
			put(values, path, value)
		}
	}
	for path, value := range map[string][]any{"tolerations": k.Tolerations, "volumes": k.Volumes, "volumeMounts": k.VolumeMounts} {
		if len(value) > 0 {
			put(values, path, value)
		}
	}
	for path, value := range map[string]string{n.pullPolicy: k.ImagePullPolicy, n.priority: k.PriorityClassName} {
		if value != "" {
			put(values, path, value)
		}
	}
	k.environment(values)
	return k.scale(values, n, workload, field)
}

// environment gives plain variables by name and the others as they are.
func (k kubernetes) environment(values map[string]any) {
	var others []any
	for _, e := range k.Env {
		name, _ := e["name"].(string)
		if _, from := e["valueFrom"]; from {
			others = append(others, e)
			continue
		}
		value, ok := e["value"]
		if !ok {
			value = ""
		}
		put(values, "env", merge(asMap(values["env"]), map[string]any{name: value}))
	}
	if others != nil {
		put(values, "envVarFrom", others)
	}
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// scale says how many replicas run: so many, or as many as an autoscaler chooses.
func (k kubernetes) scale(values map[string]any, n names, workload, field string) []Problem {
	if k.ReplicaCount != nil {
		put(values, n.replicas, *k.ReplicaCount)
		if k.HPA != nil {
			return []Problem{{field + ".replicaCount", "the autoscaler of hpaSpec decides; say minReplicas there"}}
		}
		put(values, n.autoscale, false)
	}
	if k.HPA == nil {
		return nil
	}
	put(values, n.autoscale, true)
	for path, value := range map[string]*int64{n.least: k.HPA.MinReplicas, n.most: k.HPA.MaxReplicas} {
		if value != nil {
			put(values, path, *value)
		}
	}
	if len(k.HPA.Behavior) > 0 {
		put(values, n.behavior, k.HPA.Behavior)
	}
	var problems []Problem
	if of := k.HPA.ScaleTargetRef; of.Name != "" && of.Name != workload || of.Kind != "" && of.Kind != "Deployment" {
		problems = append(problems, Problem{field + ".hpaSpec.scaleTargetRef", "Deployment " + workload + " is scaled, which is the component"})
	}
	for i, m := range k.HPA.Metrics {
		path := map[string]string{"cpu": n.cpu, "memory": n.memory}[m.Resource.Name]
		target := m.Resource.Target
		if former := m.Resource.TargetAverageUtilization; former != nil {
			target.Type, target.AverageUtilization = "Utilization", *former
		}
		if m.Type != "Resource" || target.Type != "Utilization" || path == "" {
			problems = append(problems, Problem{fmt.Sprintf("%s.hpaSpec.metrics[%d]", field, i), "only the utilization of resources cpu and memory is scaled by"})
			continue
		}
		put(values, path, target.AverageUtilization)
	}
	return problems
}

// legacy are the names that values.gateways.NAME has for those of the gateway's chart.
var legacy = map[string]string{
	"type": "service.type", "ports": "service.ports", "serviceAnnotations": "service.annotations", "loadBalancerIP": "service.loadBalancerIP",
	"loadBalancerSourceRanges": "service.loadBalancerSourceRanges", "externalTrafficPolicy": "service.externalTrafficPolicy",
	"autoscaleEnabled": "autoscaling.enabled", "autoscaleMin": "autoscaling.minReplicas", "autoscaleMax": "autoscaling.maxReplicas",
}

// legacyGateway puts what values.gateways.NAME says into values of the gateway's chart.
func legacyGateway(values, from map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		path := name
		if other, ok := legacy[name]; ok {
			path = other
		}
		put(values, path, from[name])
	}
}
