package main

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// manifest is what an object says of whom it is for, whether it makes sense or not.
type manifest struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Host  string     `json:"host"`
		Hosts []string   `json:"hosts"`
		HTTP  []httpRule `json:"http"` // of a VirtualService
		// Servers are a Gateway's; Rules are an Ingress's.
		Servers []gatewayServer `json:"servers"`
		Rules   []struct {
			Host string `json:"host"`
		} `json:"rules"`
		TLS              []ingressTLS `json:"tls"`           // of an Ingress
		TrafficPolicy    any          `json:"trafficPolicy"` // of a DestinationRule
		Subsets          any          `json:"subsets"`
		Selector         any          `json:"selector"`
		WorkloadSelector struct {
			Labels map[string]string `json:"labels"`
		} `json:"workloadSelector"`
	} `json:"spec"`
	Items []manifest `json:"items"` // of a List
}

// gatewayServer is a server of a Gateway.
type gatewayServer struct {
	Port struct {
		Number uint32 `json:"number"`
	} `json:"port"`
	Hosts []string `json:"hosts"`
	TLS   any      `json:"tls"`
}

// ingressTLS is one of an Ingress's Secrets. Rules of a VirtualService stand under the same name, and have neither.
type ingressTLS struct {
	SecretName string `json:"secretName"`
}

// manifestsOf reads the objects of those files that hold what matters.
func manifestsOf(files []analyze.File, holds func(analyze.File) bool) map[model.Key]manifest {
	out := map[model.Key]manifest{}
	for _, f := range files {
		if !holds(f) {
			continue
		}
		docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(f.Data), 4096)
		for {
			var m manifest
			err := docs.Decode(&m)
			if err == io.EOF {
				break
			}
			if err != nil {
				continue
			}
			for _, o := range append(m.Items, m) {
				if o.Metadata.Name != "" {
					out[o.key()] = o
				}
			}
		}
	}
	return out
}

// key is that of the object, in the namespace that counts where it names none.
func (m manifest) key() model.Key {
	namespace := m.Metadata.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return model.Key{Kind: model.Kind(m.Kind), Namespace: namespace, Name: m.Metadata.Name}
}

// hosts are those that an object has rules for.
func (m manifest) hosts() []string {
	out := append([]string{m.Spec.Host}, m.Spec.Hosts...)
	for _, r := range m.Spec.Rules {
		out = append(out, r.Host)
	}
	return out
}

// selector gives the labels of the workloads that an object is for.
func (m manifest) selector() map[string]string {
	out := map[string]string{}
	labels, _ := m.Spec.Selector.(map[string]any)
	if within, ok := labels["matchLabels"].(map[string]any); ok {
		labels = within
	}
	for name, value := range labels {
		if text, ok := value.(string); ok {
			out[name] = text
		}
	}
	for name, value := range m.Spec.WorkloadSelector.Labels {
		out[name] = value
	}
	return out
}

// credentials collects the Secrets that settings of TLS name, wherever they stand.
func credentials(settings any) []string {
	var out []string
	switch s := settings.(type) {
	case map[string]any:
		for name, value := range s {
			text, isText := value.(string)
			list, _ := value.([]any)
			switch {
			case name == "credentialName" && isText:
				out = append(out, text)
			case name == "credentialNames":
				for _, one := range list {
					if text, ok := one.(string); ok {
						out = append(out, text)
					}
				}
			default:
				out = append(out, credentials(value)...)
			}
		}
	case []any:
		for _, value := range s {
			out = append(out, credentials(value)...)
		}
	}
	return out
}

// namesSecret tells whether one of the names is a Secret's, or has the Secret beside it for the CA.
func namesSecret(names []string, secret string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		name = name[strings.LastIndexByte(name, '/')+1:]
		return name == secret || name+"-cacert" == secret
	})
}
