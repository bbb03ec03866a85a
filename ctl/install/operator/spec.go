package operator

import (
	"encoding/json"
	"fmt"
	"regexp"

	strictjson "sigs.k8s.io/json"
)

// spec is what an IstioOperator can say. Fields of Istio's that are not here have no effect.
type spec struct {
	Profile    string         `json:"profile"`
	Hub        string         `json:"hub"`
	Tag        any            `json:"tag"`
	Namespace  string         `json:"namespace"`
	Revision   string         `json:"revision"`
	MeshConfig map[string]any `json:"meshConfig"`
	Values     map[string]any `json:"values"`
	Components struct {
		Base  component `json:"base"`
		Pilot component `json:"pilot"`
		// Gateways have a name.
		IngressGateways []component `json:"ingressGateways"`
		EgressGateways  []component `json:"egressGateways"`
		// What Istio has and we have not is there to be turned off.
		CNI          absent `json:"cni"`
		Ztunnel      absent `json:"ztunnel"`
		IstiodRemote absent `json:"istiodRemote"`
	} `json:"components"`
}

type absent struct {
	Enabled bool `json:"enabled"`
}

// component is one part of an installation.
type component struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Enabled   *bool             `json:"enabled"`
	Hub       string            `json:"hub"`
	Tag       any               `json:"tag"`
	Label     map[string]string `json:"label"`
	K8s       kubernetes        `json:"k8s"`
}

func (c component) enabled() bool { return c.Enabled != nil && *c.Enabled }

// kubernetes are the settings of a component's objects.
type kubernetes struct {
	Affinity            map[string]any   `json:"affinity"`
	Env                 []map[string]any `json:"env"`
	HPA                 *autoscaler      `json:"hpaSpec"`
	ImagePullPolicy     string           `json:"imagePullPolicy"`
	NodeSelector        map[string]any   `json:"nodeSelector"`
	Overlays            []overlay        `json:"overlays"`
	PodAnnotations      map[string]any   `json:"podAnnotations"`
	PodDisruptionBudget map[string]any   `json:"podDisruptionBudget"`
	PriorityClassName   string           `json:"priorityClassName"`
	ReplicaCount        *int64           `json:"replicaCount"`
	ReadinessProbe      map[string]any   `json:"readinessProbe"`
	Resources           map[string]any   `json:"resources"`
	SecurityContext     map[string]any   `json:"securityContext"` // of the pods
	Service             map[string]any   `json:"service"`
	ServiceAnnotations  map[string]any   `json:"serviceAnnotations"`
	Strategy            *strategy        `json:"strategy"`
	Tolerations         []any            `json:"tolerations"`
	Volumes             []any            `json:"volumes"`
	VolumeMounts        []any            `json:"volumeMounts"`
}

// autoscaler is the spec of a HorizontalPodAutoscaler.
type autoscaler struct {
	// ScaleTargetRef can only be the component.
	ScaleTargetRef struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
	} `json:"scaleTargetRef"`
	MinReplicas *int64         `json:"minReplicas"`
	MaxReplicas *int64         `json:"maxReplicas"`
	Behavior    map[string]any `json:"behavior"`
	Metrics     []struct {
		Type     string `json:"type"`
		Resource struct {
			Name string `json:"name"`
			// TargetAverageUtilization is what Target was called in autoscaling/v2beta1.
			TargetAverageUtilization *int64 `json:"targetAverageUtilization"`
			Target                   struct {
				Type               string `json:"type"`
				AverageUtilization int64  `json:"averageUtilization"`
			} `json:"target"`
		} `json:"resource"`
	} `json:"metrics"`
}

type strategy struct {
	Type          string         `json:"type"`
	RollingUpdate map[string]any `json:"rollingUpdate"`
}

// unknownField is how a strict decoder names a field.
var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// decode gives a typed spec, and a problem for each field that it does not know.
func decode(from map[string]any) (*spec, []Problem, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, nil, err
	}
	s := &spec{}
	strict, err := strictjson.UnmarshalStrict(text, s)
	if err != nil {
		return nil, nil, fmt.Errorf("the settings of the installation: %w", err)
	}
	var problems []Problem
	for _, e := range strict {
		p := Problem{"spec", e.Error()}
		if m := unknownField.FindStringSubmatch(e.Error()); m != nil {
			p = Problem{m[1], "no such setting, or one that has no effect here"}
		}
		problems = append(problems, p)
	}
	return s, problems, nil
}
