package workload

import (
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

const vms = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata:
  name: db
  namespace: shop
  annotations: {proxy.istio.io/config: "{concurrency: 3, proxyMetadata: {A: group}}"}
spec:
  metadata: {labels: {app: store, tier: "1"}}
  template: {serviceAccount: db-account, network: lan, labels: {tier: "it's"}, ports: {tcp: 5432, http: 8080}}
  probe: {httpGet: {port: 8080, path: /well}, periodSeconds: 5}
`

const mesh = `
trustDomain: example.org
defaultConfig: {meshId: m1, proxyMetadata: {A: mesh, B: mesh}, tracing: {sampling: 1}}
`

func config(t *testing.T) *Config {
	t.Helper()
	objects, problems := file.Decode([]byte(vms), "db.yaml")
	if len(problems) > 1 || len(objects) != 1 { // one tells of the network
		t.Fatal(objects, problems)
	}
	return &Config{Group: objects[0], Mesh: []byte(mesh), Namespace: "istio-system", ClusterID: "c1", CaptureDNS: true, Register: true}
}

func TestFilesAreIstios(t *testing.T) {
	c := config(t)
	c.InternalIP, c.IngressIP = "10.1.1.1", "192.0.2.1"
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	const env = `A='group'
B='mesh'
CANONICAL_REVISION='latest'
CANONICAL_SERVICE='store'
ISTIO_INBOUND_PORTS='5432,8080'
ISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021,15020'
ISTIO_METAJSON_LABELS='{"app":"store","service.istio.io/canonical-name":"store","service.istio.io/canonical-revision":"latest","tier":"it'"'"'s"}'
ISTIO_META_AUTO_REGISTER_GROUP='db'
ISTIO_META_CLUSTER_ID='c1'
ISTIO_META_DNS_CAPTURE='true'
ISTIO_META_MESH_ID='m1'
ISTIO_META_NETWORK='lan'
ISTIO_META_POD_PORTS='[{"name":"http","containerPort":8080},{"name":"tcp","containerPort":5432}]'
ISTIO_META_WORKLOAD_NAME='db'
ISTIO_NAMESPACE='shop'
ISTIO_SERVICE='db.shop'
ISTIO_SERVICE_CIDR='*'
ISTIO_SVC_IP='10.1.1.1'
POD_NAMESPACE='shop'
SERVICE_ACCOUNT='db-account'
TRUST_DOMAIN='example.org'
`
	if got := string(files["cluster.env"]); got != env {
		t.Errorf("cluster.env\n%s", got)
	}
	if got := string(files["hosts"]); got != "192.0.2.1 istiod.istio-system.svc\n" {
		t.Errorf("hosts %q", got)
	}
	var got struct {
		DefaultConfig struct {
			Concurrency    int
			MeshID         string `json:"meshId"`
			Tracing        map[string]int
			ReadinessProbe struct {
				HTTPGet struct{ Path string } `json:"httpGet"`
			}
			ProxyMetadata    map[string]string
			DiscoveryAddress string
		}
	}
	if err := yaml.UnmarshalStrict(files["mesh.yaml"], &got); err == nil {
		t.Error("periodSeconds is missing") // the struct has not all of the probe
	}
	if err := yaml.Unmarshal(files["mesh.yaml"], &got); err != nil {
		t.Fatal(err)
	}
	d := got.DefaultConfig
	if d.Concurrency != 3 || d.MeshID != "m1" || d.Tracing["sampling"] != 1 || d.ReadinessProbe.HTTPGet.Path != "/well" || d.ProxyMetadata["A"] != "group" || d.ProxyMetadata["SERVICE_ACCOUNT"] != "db-account" || d.DiscoveryAddress != "" {
		t.Errorf("mesh.yaml\n%s", files["mesh.yaml"])
	}
}

func TestARevisionIsNamed(t *testing.T) {
	c := config(t)
	c.Revision, c.ExternalIP, c.IngressIP, c.Register = "canary", "203.0.113.1", "192.0.2.1", false
	c.Group.Spec.(*networking.WorkloadGroup).Template = nil
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	env := string(files["cluster.env"])
	for _, want := range []string{
		"CA_ADDR='istiod-canary.istio-system.svc:15012'", "SERVICE_ACCOUNT='default'", "ISTIO_INBOUND_PORTS='*'",
		"REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION='true'", "ISTIO_SVC_IP='203.0.113.1'",
	} {
		if !strings.Contains(env, want+"\n") {
			t.Errorf("no %s in\n%s", want, env)
		}
	}
	if strings.Contains(env, "AUTO_REGISTER") || !strings.Contains(string(files["mesh.yaml"]), "discoveryAddress: istiod-canary.istio-system.svc:15012") ||
		string(files["hosts"]) != "192.0.2.1 istiod-canary.istio-system.svc\n" {
		t.Errorf("%s\n%s", files["mesh.yaml"], files["hosts"])
	}
}

func TestWrongInputIsNamed(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"the machine's address":     func(c *Config) { c.InternalIP = "x" },
		"the control plane's":       func(c *Config) { c.IngressIP = "1.2.3.4 evil" },
		"the mesh's configuration":  func(c *Config) { c.Mesh = []byte("a: [") },
		"annotation proxy.istio.io": func(c *Config) { c.Group.Annotations["proxy.istio.io/config"] = "[" },
	} {
		c := config(t)
		edit(c)
		if _, err := c.Files(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

func TestAGroupIsReadAgain(t *testing.T) {
	spec := &networking.WorkloadGroup{Metadata: &networking.WorkloadGroup_ObjectMeta{Labels: map[string]string{"a": "b"}}, Template: &networking.WorkloadEntry{ServiceAccount: "s", Ports: map[string]uint32{"http": 80}}}
	data, err := Group(model.Key{Namespace: "shop", Name: "db"}, spec)
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := file.Decode(data, "x")
	if len(problems) > 0 || len(objects) != 1 || !model.SameSpec(objects[0], &model.Object{Spec: spec}) || objects[0].Namespace != "shop" || objects[0].Name != "db" {
		t.Errorf("%s\n%v", data, problems)
	}
}
