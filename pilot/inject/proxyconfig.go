package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"istio.io/api/annotation"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// fields are the fields of a ProxyConfig that are set, by their JSON names.
type fields map[string]json.RawMessage

// parseProxyConfig reads YAML; what it leaves out is not among the fields.
func parseProxyConfig(text string) (fields, error) {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil, nil
	}
	var pc meshconfig.ProxyConfig
	if data, err = model.SecondsJSON(data, pc.ProtoReflect().Descriptor()); err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(data, &pc); err != nil {
		return nil, fmt.Errorf("%s", model.ProtoJSONError(err))
	}
	raw := fields{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	out := fields{}
	for name, value := range raw {
		if f := pc.ProtoReflect().Descriptor().Fields().ByTextName(name); f != nil {
			name = f.JSONName()
		}
		out[name] = value
	}
	return out, nil
}

// proxyConfig lays the pod's annotations over the mesh's defaults: a field replaces a field,
// except that proxyMetadata is merged key by key. The agent does the same. Where annotations say nothing the
// result is base itself.
func proxyConfig(base *meshconfig.ProxyConfig, annotations map[string]string) (*meshconfig.ProxyConfig, error) {
	out := base
	if text, ok := annotations[annotation.ProxyConfig.Name]; ok {
		var err error
		if out, err = annotatedProxyConfig(base, text); err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotation.ProxyConfig.Name, err)
		}
	}
	address := annotations[annotation.SidecarDiscoveryAddress.Name]
	port, err := strconv.Atoi(annotations[annotation.SidecarStatusPort.Name])
	hasPort := err == nil && port > 0
	if address != "" || hasPort {
		out = proto.CloneOf(out)
	}
	if address != "" {
		out.DiscoveryAddress = address
	}
	if hasPort {
		out.StatusPort = int32(port)
	}
	return out, nil
}

func annotatedProxyConfig(base *meshconfig.ProxyConfig, text string) (*meshconfig.ProxyConfig, error) {
	merged, err := toFields(base)
	if err != nil {
		return nil, err
	}
	over, err := parseProxyConfig(text)
	if err != nil {
		return nil, err
	}
	const metadata = "proxyMetadata"
	env := map[string]string{}
	for _, f := range []fields{merged, over} {
		if text, ok := f[metadata]; ok {
			if err := json.Unmarshal(text, &env); err != nil {
				return nil, fmt.Errorf("%s: %w", metadata, err)
			}
		}
	}
	maps.Copy(merged, over)
	// The two fields of the oneof clusterName displace each other.
	if _, ok := over["tracingServiceName"]; ok {
		delete(merged, "serviceCluster")
	}
	if len(env) > 0 {
		if merged[metadata], err = json.Marshal(env); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	out := &meshconfig.ProxyConfig{}
	if err := protojson.Unmarshal(data, out); err != nil {
		return nil, errors.New(model.ProtoJSONError(err))
	}
	return out, nil
}

func toFields(pc *meshconfig.ProxyConfig) (fields, error) {
	data, err := protojson.Marshal(pc)
	if err != nil {
		return nil, fmt.Errorf("ProxyConfig: %w", err)
	}
	out := fields{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("ProxyConfig: %w", err)
	}
	return out, nil
}

// proxyConfigWriter writes the fields of ProxyConfigs that differ from the built-in defaults, which the agent knows
// as well.
type proxyConfigWriter struct {
	defaults fields
	// common is the one that most pods have, the mesh's, and text what is written for it.
	common *meshconfig.ProxyConfig
	text   string
}

func newProxyConfigWriter(common *meshconfig.ProxyConfig) (*proxyConfigWriter, error) {
	defaults, err := toFields(model.DefaultProxyConfig())
	if err != nil {
		return nil, err
	}
	for name, value := range defaults {
		defaults[name] = compact(value)
	}
	w := &proxyConfigWriter{defaults: defaults}
	if w.text, err = w.json(common); err != nil {
		return nil, err
	}
	w.common = common
	return w, nil
}

func (w *proxyConfigWriter) json(pc *meshconfig.ProxyConfig) (string, error) {
	if w.common != nil && pc == w.common {
		return w.text, nil
	}
	set, err := toFields(pc)
	if err != nil {
		return "", err
	}
	for name, value := range w.defaults {
		if bytes.Equal(value, compact(set[name])) {
			delete(set, name)
		}
	}
	// Marshalling sorts the names, and removes the blanks that protojson puts in at random.
	out, err := json.Marshal(set)
	return string(out), err
}

func compact(value json.RawMessage) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return nil
	}
	return b.Bytes()
}
