package inject

import (
	"embed"
	"fmt"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

//go:embed files/*.yaml
var files embed.FS

// settings are the values that the code itself needs; templates see all.
type settings struct {
	Global struct {
		Hub          string `json:"hub"`
		Tag          any    `json:"tag"`
		Variant      string `json:"variant"`
		Network      string `json:"network"`
		MultiCluster struct {
			ClusterName string `json:"clusterName"`
		} `json:"multiCluster"`
		Proxy struct {
			Image      string `json:"image"`
			AutoInject string `json:"autoInject"`
			StatusPort int    `json:"statusPort"`
			Hold       bool   `json:"holdApplicationUntilProxyStarts"`
			Resources  any    `json:"resources"`
		} `json:"proxy"`
		ProxyInit struct {
			Image string `json:"image"`
		} `json:"proxy_init"`
	} `json:"global"`
	Webhook struct {
		EnableNamespacesByDefault bool                   `json:"enableNamespacesByDefault"`
		RewriteAppHTTPProbe       bool                   `json:"rewriteAppHTTPProbe"`
		NeverInjectSelector       []metav1.LabelSelector `json:"neverInjectSelector"`
		AlwaysInjectSelector      []metav1.LabelSelector `json:"alwaysInjectSelector"`
		InjectedAnnotations       map[string]string      `json:"injectedAnnotations"`
		DefaultTemplates          []string               `json:"defaultTemplates"`
		Templates                 map[string]string      `json:"templates"`
	} `json:"sidecarInjectorWebhook"`
}

// loadValues lays the user's values over the embedded ones.
func loadValues(user []byte) (map[string]any, error) {
	text, err := files.ReadFile("files/values.yaml")
	if err != nil {
		return nil, err
	}
	base, over := map[string]any{}, map[string]any{}
	if err := yaml.Unmarshal(text, &base); err != nil {
		return nil, fmt.Errorf("embedded values: %w", err)
	}
	if err := yaml.Unmarshal(user, &over); err != nil {
		return nil, fmt.Errorf("injection values: %w", err)
	}
	return overlayValues(base, over), nil
}

// overlayValues merges maps key by key; anything else replaces, and null removes, as in Helm.
func overlayValues(base, over map[string]any) map[string]any {
	for k, v := range over {
		inner, isMap := v.(map[string]any)
		former, wasMap := base[k].(map[string]any)
		switch {
		case v == nil:
			delete(base, k)
		case isMap && wasMap:
			base[k] = overlayValues(former, inner)
		default:
			base[k] = v
		}
	}
	return base
}

func readSettings(values map[string]any) (*settings, error) {
	text, err := yaml.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("injection values: %w", err)
	}
	s := &settings{}
	if err := yaml.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("injection values: %w", err)
	}
	return s, nil
}

// image gives the full name of an image of the release: a name with a slash is one already.
func (s *settings) image(name, variant string) string {
	if strings.Contains(name, "/") {
		return name
	}
	tag := ""
	if s.Global.Tag != nil {
		tag = fmt.Sprint(s.Global.Tag)
	}
	if variant != "" && tag != "" {
		// A tag that names a variant already is that of another one.
		tag = strings.TrimSuffix(strings.TrimSuffix(tag, "-distroless"), "-debug")
		if variant != "default" {
			tag += "-" + variant
		}
	}
	if tag != "" {
		tag = ":" + tag
	}
	return s.Global.Hub + "/" + name + tag
}

// config is the injector's own configuration, in the form of the ConfigMap
// istio-sidecar-injector.
type config struct {
	// Policy is "enabled" or "disabled": what happens to a pod about which nothing else is said. With any
	// other no pod is injected, as Istio does.
	Policy string `json:"policy"`
	// DefaultTemplates are used where a pod names none.
	DefaultTemplates []string `json:"defaultTemplates"`
	// Aliases give one name to several templates.
	Aliases map[string][]string `json:"aliases"`
	// NeverInjectSelector and AlwaysInjectSelector win over the policy, in this order.
	NeverInjectSelector  []metav1.LabelSelector `json:"neverInjectSelector"`
	AlwaysInjectSelector []metav1.LabelSelector `json:"alwaysInjectSelector"`
	// InjectedAnnotations are put on every injected pod.
	InjectedAnnotations map[string]string `json:"injectedAnnotations"`
	// Templates are the texts by name.
	Templates map[string]string `json:"templates"`
}

func loadConfig(s *settings, text []byte) (*config, error) {
	c := &config{
		Policy:               s.Global.Proxy.AutoInject,
		DefaultTemplates:     s.Webhook.DefaultTemplates,
		NeverInjectSelector:  s.Webhook.NeverInjectSelector,
		AlwaysInjectSelector: s.Webhook.AlwaysInjectSelector,
		InjectedAnnotations:  s.Webhook.InjectedAnnotations,
	}
	templates := map[string]string{}
	for _, name := range []string{"sidecar", "gateway"} {
		data, err := files.ReadFile("files/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		templates[name] = string(data)
	}
	maps.Copy(templates, s.Webhook.Templates)
	if err := yaml.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("injection config: %w", err)
	}
	maps.Copy(templates, c.Templates)
	c.Templates = templates
	if len(c.DefaultTemplates) == 0 { // as in the values of Istio's charts
		c.DefaultTemplates = []string{"sidecar"}
	}
	if err := checkSelectors("neverInjectSelector", c.NeverInjectSelector); err != nil {
		return nil, err
	}
	return c, checkSelectors("alwaysInjectSelector", c.AlwaysInjectSelector)
}

// isOurs tells whether a template's text is the one of this program.
func isOurs(name string, templates map[string]string) (bool, error) {
	text, err := files.ReadFile("files/" + name + ".yaml")
	return templates[name] == string(text), err
}

// policyProblem tells that the policy is none, nil if it is one.
func (c *config) policyProblem() error {
	if c.Policy == modeEnabled || c.Policy == modeDisabled {
		return nil
	}
	return fmt.Errorf("injection config: policy: %q is neither enabled nor disabled, so no pod is injected", c.Policy)
}

func checkSelectors(field string, in []metav1.LabelSelector) error {
	for i := range in {
		if _, err := metav1.LabelSelectorAsSelector(&in[i]); err != nil {
			return fmt.Errorf("injection config: %s[%d]: %w", field, i, err)
		}
	}
	return nil
}
