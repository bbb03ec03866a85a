package model

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"
)

// MeshConfigName is the name of the one MeshConfig object, in namespace RootNamespace; in a
// cluster it is the ConfigMap of that name with the content under the key MeshConfigMapKey.
const (
	MeshConfigName   = "istio"
	MeshConfigMapKey = "mesh"
)

// DefaultMeshConfig gives the values that hold where the user's mesh configuration is silent;
// they are those that Istio documents.
func DefaultMeshConfig() *meshconfig.MeshConfig {
	all := []string{"*"}
	return &meshconfig.MeshConfig{
		ProxyListenPort:                15001,
		ProxyInboundListenPort:         15006,
		ConnectTimeout:                 durationpb.New(10 * time.Second),
		ProtocolDetectionTimeout:       durationpb.New(0),
		DnsRefreshRate:                 durationpb.New(60 * time.Second),
		IngressService:                 "istio-ingressgateway",
		IngressClass:                   "istio",
		IngressControllerMode:          meshconfig.MeshConfig_STRICT,
		EnableTracing:                  true,
		AccessLogEncoding:              meshconfig.MeshConfig_TEXT,
		DefaultConfig:                  DefaultProxyConfig(),
		OutboundTrafficPolicy:          &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY},
		InboundTrafficPolicy:           &meshconfig.MeshConfig_InboundTrafficPolicy{Mode: meshconfig.MeshConfig_InboundTrafficPolicy_PASSTHROUGH},
		EnableAutoMtls:                 wrapperspb.Bool(true),
		TrustDomain:                    "cluster.local",
		RootNamespace:                  RootNamespace,
		DefaultServiceExportTo:         all,
		DefaultVirtualServiceExportTo:  all,
		DefaultDestinationRuleExportTo: all,
		LocalityLbSetting:              &networking.LocalityLoadBalancerSetting{Enabled: wrapperspb.Bool(true)},
		EnablePrometheusMerge:          wrapperspb.Bool(true),
	}
}

// DefaultProxyConfig gives the default of MeshConfig.defaultConfig.
func DefaultProxyConfig() *meshconfig.ProxyConfig {
	return &meshconfig.ProxyConfig{
		ConfigPath:               "./etc/istio/proxy",
		BinaryPath:               "/usr/local/bin/envoy",
		ClusterName:              &meshconfig.ProxyConfig_ServiceCluster{ServiceCluster: "istio-proxy"},
		DrainDuration:            durationpb.New(45 * time.Second),
		TerminationDrainDuration: durationpb.New(5 * time.Second),
		DiscoveryAddress:         "istiod.istio-system.svc:15012",
		ProxyAdminPort:           15000,
		ControlPlaneAuthPolicy:   meshconfig.AuthenticationPolicy_MUTUAL_TLS,
		StatNameLength:           189,
		StatusPort:               15020,
	}
}

// ParseMeshConfig lays the YAML text of a mesh configuration over the defaults: a field that is
// written replaces its default, also with a zero; defaultConfig is laid over field by field.
// An unknown field is an error that names it.
func ParseMeshConfig(text []byte) (*meshconfig.MeshConfig, error) {
	user, err := readMeshConfig(text)
	if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	defaults, err := protojson.Marshal(DefaultMeshConfig())
	if err != nil {
		return nil, fmt.Errorf("mesh configuration: defaults: %w", err)
	}
	var base map[string]json.RawMessage
	if err := json.Unmarshal(defaults, &base); err != nil {
		return nil, fmt.Errorf("mesh configuration: defaults: %w", err)
	}
	mesh := &meshconfig.MeshConfig{}
	if err := overlay(base, user, mesh.ProtoReflect().Descriptor()); err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	merged, err := json.Marshal(base)
	if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	if err := protojson.Unmarshal(merged, mesh); err != nil {
		return nil, fmt.Errorf("mesh configuration: %s", ProtoJSONError(err))
	}
	return mesh, nil
}

// readMeshConfig gives the fields that the user wrote, as protojson takes them.
func readMeshConfig(text []byte) (map[string]json.RawMessage, error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	if data, err = SecondsJSON(data, (*meshconfig.MeshConfig)(nil).ProtoReflect().Descriptor()); err != nil {
		return nil, err
	}
	var user map[string]json.RawMessage
	if err := json.Unmarshal(data, &user); err != nil {
		return nil, fmt.Errorf("must be a mapping of fields: %w", err)
	}
	return user, nil
}

// overlay writes the fields of user over those of base; both names of a field (camelCase and
// snake_case) count as one, and fields of one oneof displace each other.
func overlay(base, user map[string]json.RawMessage, d protoreflect.MessageDescriptor) error {
	for name, value := range user {
		fd := d.Fields().ByJSONName(name)
		if fd == nil {
			fd = d.Fields().ByTextName(name)
		}
		if fd == nil {
			base[name] = value // protojson reports it by name
			continue
		}
		if o := fd.ContainingOneof(); o != nil {
			for i := range o.Fields().Len() {
				delete(base, o.Fields().Get(i).JSONName())
			}
		}
		former, had := base[fd.JSONName()]
		if !had || fd.Message() == nil || fd.Message().Name() != "ProxyConfig" {
			base[fd.JSONName()] = value
			continue
		}
		var inner, over map[string]json.RawMessage
		if err := json.Unmarshal(former, &inner); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := json.Unmarshal(value, &over); err != nil {
			return fmt.Errorf("%s: must be an object: %w", name, err)
		}
		if err := overlay(inner, over, fd.Message()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		merged, err := json.Marshal(inner)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		base[fd.JSONName()] = merged
	}
	return nil
}

// ProtoJSONError gives the part of a protojson error that a user can act on, without the
// package's prefix and its position in generated JSON.
func ProtoJSONError(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimPrefix(text, "proto: ")
	if strings.HasPrefix(text, "(line ") {
		if _, rest, ok := strings.Cut(text, "): "); ok {
			return rest
		}
	}
	return text
}
