package validate_test

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// TestNetworkRules gives each rule of the mesh's networks a text that breaks it.
func TestNetworkRules(t *testing.T) {
	network := func(rest string) string { return "networks: {one: {" + rest + "}}" }
	for body, want := range map[string]string{
		network("endpoints: [{fromCidr: 10.0.0.0/8}, {fromRegistry: Kubernetes}], gateways: [{address: 203.0.113.1, port: 443}]"): "",
		network("endpoints: [{fromCidr: 'fd00::/8'}], gateways: [{address: 'fd00::1', port: 65535}]"):                             "",
		network("endpoints: [{}]"):                                                                                     "networks[one].endpoints[0]: says nothing",
		network("endpoints: [{fromCidr: 10.0.0.1}]"):                                                                   "networks[one].endpoints[0].fromCidr: \"10.0.0.1\" is no subnet",
		network("endpoints: [{fromCidr: 10.0.0.0/8}, {fromRegistry: ''}]"):                                             "networks[one].endpoints[1].fromRegistry: is missing",
		network("endpoints: [{fromCidr: 10.0.0.0/8}, {fromCidr: 10.0.0.1/8}]"):                                         "", // one network's own
		"networks: {a: {endpoints: [{fromCidr: 10.0.0.0/8}]}, b: {endpoints: [{fromCidr: 10.1.0.0/8}]}}":               "W networks[b].endpoints[0].fromCidr: 10.0.0.0/8 belongs to network a",
		"networks: {a: {endpoints: [{fromCidr: 10.0.0.0/8}]}, b: {endpoints: [{fromCidr: '::ffff:10.0.0.0/104'}]}}":    "W networks[b].endpoints[0].fromCidr: 10.0.0.0/8 belongs to network a",
		"networks: {a: {endpoints: [{fromRegistry: Kubernetes}]}, b: {endpoints: [{fromRegistry: Kubernetes}]}}":       "W networks[b].endpoints[0].fromRegistry: Kubernetes belongs to network a",
		"networks: {a: {endpoints: [{fromCidr: 10.0.0.0/8}]}, b: {endpoints: [{fromCidr: 10.0.0.0/16}]}}":              "", // the narrower one says less
		"networks: {n: {endpoints: [{fromCidr: 10.0.0.0/8}]}}":                                                         "W networks[false]: is how YAML reads the names",
		"networks: {yes: {endpoints: [{fromCidr: 10.0.0.0/8}]}}":                                                       "W networks[true]: is how YAML reads the names",
		"networks: {'n': {endpoints: [{fromCidr: 10.0.0.0/8}]}}":                                                       "",
		network("gateways: [{port: 443}]"):                                                                             "networks[one].gateways[0]: has no address",
		network("gateways: [{address: 203.0.113.1}]"):                                                                  "networks[one].gateways[0].port: is missing",
		network("gateways: [{address: 203.0.113.1, port: 443}, {address: 203.0.113.1, port: 65536}]"):                  "networks[one].gateways[1].port: 65536 is no port; use 1 to 65535",
		network("gateways: [{address: 203.0.113.300, port: 443}]"):                                                     "networks[one].gateways[0].address: \"203.0.113.300\" is neither",
		network("gateways: [{address: 'unix:///a', port: 443}]"):                                                       "networks[one].gateways[0].address: \"unix:///a\" is neither",
		network("gateways: [{address: 'a b', port: 443}]"):                                                             "networks[one].gateways[0].address: \"a b\" is neither",
		network("gateways: [{address: gateway.example.com, port: 443}]"):                                               "",
		network("endpoints: [{fromRegistry: Kubernetes}], gateways: [{registryServiceName: a.b.svc.x, port: 443}]"):    "",
		network("endpoints: [{fromRegistry: Kubernetes}], gateways: [{registryServiceName: 'a b', port: 443}]"):        "networks[one].gateways[0].registryServiceName: \"a b\" is no hostname",
		network("endpoints: [{fromCidr: 10.0.0.0/8}], gateways: [{registryServiceName: a.b.svc.x, port: 443}]"):        "W networks[one].gateways[0].registryServiceName: has no effect",
		network("endpoints: [{fromRegistry: Kubernetes}], gateways: [{registryServiceName: a.b.svc.x, port: 100000}]"): "networks[one].gateways[0].port: 100000 is no port",
	} {
		t.Run(body, func(t *testing.T) {
			spec, err := model.ParseMeshNetworks([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			key := model.Key{Kind: model.KindMeshNetworks, Namespace: model.RootNamespace, Name: model.MeshConfigName}
			checkRule(t, &model.Object{Key: key, Spec: spec}, want)
		})
	}
}

// TestServicesOfNetworks gives Services with the label of a network that are no gateways, or not where they say.
func TestServicesOfNetworks(t *testing.T) {
	for body, want := range map[string]string{
		"":                                   "W metadata.labels[topology.istio.io/network]: the Service has no address outside the cluster",
		"spec: {externalIPs: [203.0.113.1]}": "",
		"spec: {type: LoadBalancer}":         "", // it waits for its address
		"spec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}":                            "",
		"spec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {hostname: a.example.com}]}}": "",
		"spec: {type: NodePort}": "W metadata.labels[topology.istio.io/network]: the Service has no address outside the cluster",
		"metadata: {labels: {networking.istio.io/gatewayPort: '65535'}}\nspec: {type: LoadBalancer}": "",
		"metadata: {labels: {networking.istio.io/gatewayPort: '65536'}}\nspec: {type: LoadBalancer}": "W metadata.labels[networking.istio.io/gatewayPort]: \"65536\" is no port",
		"metadata: {labels: {networking.istio.io/gatewayPort: tls}}\nspec: {type: LoadBalancer}":     "W metadata.labels[networking.istio.io/gatewayPort]: \"tls\" is no port",
		"spec: {type: ExternalName, externalName: a.example.com}":                                    "",
	} {
		t.Run(body, func(t *testing.T) {
			whole := map[string]any{}
			if err := yaml.Unmarshal([]byte(body), &whole); err != nil {
				t.Fatal(err)
			}
			objects, problems := file.Decode(service(t, whole), "test.yaml")
			if len(objects) != 1 || len(problems) > 0 {
				t.Fatalf("%v %v", objects, problems)
			}
			checkRule(t, objects[0], want)
		})
	}
}

// service adds to a Service what makes it one of network n1.
func service(t *testing.T, whole map[string]any) []byte {
	t.Helper()
	whole["apiVersion"], whole["kind"] = "v1", "Service"
	metadata, _ := whole["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	labels, _ := metadata["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
	}
	labels[model.LabelNetwork], metadata["labels"], metadata["name"] = "n1", labels, "edge"
	whole["metadata"] = metadata
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
