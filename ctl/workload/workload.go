// Package workload makes what a machine needs to join the mesh of a cluster: a WorkloadGroup, and of one the files
// that its agent reads. They are those of istioctl x workload. It reads and writes nothing itself.
package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"istio.io/api/annotation"
	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Group gives a WorkloadGroup as YAML.
func Group(key model.Key, spec *networking.WorkloadGroup) ([]byte, error) {
	fields, err := mapOf(spec)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": string(model.KindWorkloadGroup),
		"metadata": map[string]any{"name": key.Name, "namespace": key.Namespace}, "spec": fields,
	})
}

// mapOf gives a message as JSON has it.
func mapOf(m proto.Message) (out map[string]any, err error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(data, &out)
}

// Config is what the files of a machine are made of.
type Config struct {
	Group *model.Object // a WorkloadGroup
	// Mesh is key mesh of ConfigMap istio.
	Mesh []byte
	// Namespace and Revision are those of the control plane; "" is the default revision.
	Namespace, Revision string
	ClusterID           string
	// InternalIP is the machine's address, ExternalIP the one that a NAT gives it; at most one of them.
	InternalIP, ExternalIP string
	// IngressIP is where the machine reaches the control plane; "" where DNS says it.
	IngressIP  string
	CaptureDNS bool
	// Register lets the control plane make the machine's WorkloadEntry.
	Register bool
}

// Account gives the service account of the group's machines.
func (c *Config) Account() string {
	return cmp.Or(c.spec().GetTemplate().GetServiceAccount(), model.DefaultServiceAccount)
}

func (c *Config) spec() *networking.WorkloadGroup { return c.Group.Spec.(*networking.WorkloadGroup) }

// host is how certificates and machines name the control plane.
func (c *Config) host() string {
	name := "istiod"
	if c.revised() {
		name += "-" + c.Revision
	}
	return name + "." + c.Namespace + ".svc"
}

func (c *Config) revised() bool { return c.Revision != "" && c.Revision != "default" }

// Files gives cluster.env, mesh.yaml and hosts.
func (c *Config) Files() (map[string][]byte, error) {
	proxy, err := c.proxyConfig()
	if err != nil {
		return nil, err
	}
	mesh, err := yaml.Marshal(map[string]any{"defaultConfig": proxy})
	if err != nil {
		return nil, err
	}
	env, err := c.environment(proxy)
	if err != nil {
		return nil, err
	}
	hosts := ""
	if c.IngressIP != "" {
		if _, err := netip.ParseAddr(c.IngressIP); err != nil {
			return nil, fmt.Errorf("the control plane's address: %w", err)
		}
		hosts = c.IngressIP + " " + c.host() + "\n"
	}
	return map[string][]byte{"cluster.env": []byte(env), "mesh.yaml": mesh, "hosts": []byte(hosts)}, nil
}

// proxyConfig lays over the mesh's defaultConfig what the group's annotations say, its probe, and who the machine is.
func (c *Config) proxyConfig() (map[string]any, error) {
	var mesh struct {
		TrustDomain   string         `json:"trustDomain"`
		DefaultConfig map[string]any `json:"defaultConfig"`
	}
	if err := yaml.Unmarshal(c.Mesh, &mesh); err != nil {
		return nil, fmt.Errorf("the mesh's configuration: %w", err)
	}
	out := map[string]any{}
	overlay(out, mesh.DefaultConfig)
	if c.revised() && out["discoveryAddress"] == nil {
		out["discoveryAddress"] = c.host() + ":15012"
	}
	for _, from := range []map[string]string{c.Group.Annotations, c.spec().GetMetadata().GetAnnotations()} {
		var over map[string]any
		if err := yaml.Unmarshal([]byte(from[annotation.ProxyConfig.Name]), &over); err != nil {
			return nil, fmt.Errorf("annotation %s of %s: %w", annotation.ProxyConfig.Name, c.Group.Key, err)
		}
		overlay(out, over)
	}
	if probe := c.spec().GetProbe(); probe != nil {
		fields, err := mapOf(probe)
		if err != nil {
			return nil, err
		}
		out["readinessProbe"] = fields
	}
	metadata, ok := out["proxyMetadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		out["proxyMetadata"] = metadata
	}
	who, err := c.metadata(mesh.TrustDomain, fmt.Sprint(cmp.Or(out["meshId"], any(""))))
	if err != nil {
		return nil, err
	}
	for name, value := range who {
		metadata[name] = value
	}
	return out, nil
}

// overlay sets what another one has, objects field by field.
func overlay(to, over map[string]any) {
	for name, value := range over {
		within, both := to[name].(map[string]any)
		fields, object := value.(map[string]any)
		switch {
		case object && both:
			overlay(within, fields)
		case object:
			to[name] = maps.Clone(fields)
		default:
			to[name] = value
		}
	}
}

// metadata tells who the machine is.
func (c *Config) metadata(trustDomain, mesh string) (map[string]string, error) {
	labels := maps.Clone(c.spec().GetMetadata().GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	template := c.spec().GetTemplate()
	maps.Copy(labels, template.GetLabels())
	service := cmp.Or(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"], labels["app"], c.Group.Name)
	revision := cmp.Or(labels["service.istio.io/canonical-revision"], labels["app.kubernetes.io/version"], labels["version"], "latest")
	labels["service.istio.io/canonical-name"], labels["service.istio.io/canonical-revision"] = service, revision
	text, err := json.Marshal(labels)
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		"CANONICAL_SERVICE": service, "CANONICAL_REVISION": revision, "POD_NAMESPACE": c.Group.Namespace,
		"SERVICE_ACCOUNT": c.Account(), "TRUST_DOMAIN": trustDomain,
		"ISTIO_META_CLUSTER_ID": c.ClusterID, "ISTIO_META_MESH_ID": mesh, "ISTIO_META_NETWORK": template.GetNetwork(),
		"ISTIO_META_WORKLOAD_NAME": c.Group.Name, "ISTIO_METAJSON_LABELS": string(text),
	}
	if ports := template.GetPorts(); len(ports) > 0 {
		type port struct {
			Name          string `json:"name"`
			ContainerPort uint32 `json:"containerPort"`
		}
		var all []port
		for _, name := range slices.Sorted(maps.Keys(ports)) {
			all = append(all, port{name, ports[name]})
		}
		if text, err = json.Marshal(all); err != nil {
			return nil, err
		}
		out["ISTIO_META_POD_PORTS"] = string(text)
	}
	if c.CaptureDNS {
		out["ISTIO_META_DNS_CAPTURE"] = "true"
	}
	if c.Register {
		out["ISTIO_META_AUTO_REGISTER_GROUP"] = c.Group.Name
	}
	return out, nil
}

// environment gives cluster.env: the proxy's metadata, and what the redirection of traffic goes by. The latter
// leaves ports of administration alone: SSH, metrics and health.
func (c *Config) environment(proxy map[string]any) (string, error) {
	values := map[string]string{}
	for name, value := range proxy["proxyMetadata"].(map[string]any) {
		values[name] = fmt.Sprint(value)
	}
	inbound := "*"
	if ports := c.spec().GetTemplate().GetPorts(); len(ports) > 0 {
		var all []string
		for _, port := range slices.Compact(slices.Sorted(maps.Values(ports))) {
			all = append(all, strconv.FormatUint(uint64(port), 10))
		}
		inbound = strings.Join(all, ",")
	}
	exclude := "22,15090,15021"
	if port := fmt.Sprint(cmp.Or(proxy["statusPort"], any("15020"))); port != "15090" && port != "15021" {
		exclude += "," + port
	}
	maps.Copy(values, map[string]string{
		"ISTIO_INBOUND_PORTS": inbound, "ISTIO_NAMESPACE": c.Group.Namespace, "ISTIO_SERVICE": c.Group.Name + "." + c.Group.Namespace,
		"ISTIO_SERVICE_CIDR": "*", "ISTIO_LOCAL_EXCLUDE_PORTS": exclude, "SERVICE_ACCOUNT": c.Account(),
	})
	if c.revised() {
		values["CA_ADDR"] = c.host() + ":15012"
	}
	for _, address := range []string{c.InternalIP, c.ExternalIP} {
		if address == "" {
			continue
		}
		if _, err := netip.ParseAddr(address); err != nil {
			return "", fmt.Errorf("the machine's address: %w", err)
		}
		values["ISTIO_SVC_IP"] = address
	}
	if c.ExternalIP != "" {
		values["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] = "true"
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s=%s\n", name, quoted(values[name]))
	}
	return b.String(), nil
}

// quoted gives a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'" }
