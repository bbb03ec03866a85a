package model_test

import (
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// settings makes serviceSettings: each is local or not, with its hosts.
func settings(all ...[]string) *meshconfig.MeshConfig {
	mesh := model.DefaultMeshConfig()
	for _, s := range all {
		mesh.ServiceSettings = append(mesh.ServiceSettings, &meshconfig.MeshConfig_ServiceSettings{
			Settings: &meshconfig.MeshConfig_ServiceSettings_Settings{ClusterLocal: s[0] == "local"}, Hosts: s[1:],
		})
	}
	return mesh
}

func TestClusterLocal(t *testing.T) {
	const domain = "cluster.local"
	other := settings()
	other.DefaultConfig.DiscoveryAddress = "istiod.mesh.svc.cluster.local:15012"
	for name, c := range map[string]struct {
		mesh *meshconfig.MeshConfig
		host string
		want bool
	}{
		"a service":                             {settings(), "a.default.svc.cluster.local", false},
		"one of kube-system":                    {settings(), "dns.kube-system.svc.cluster.local", true},
		"the API server":                        {settings(), "kubernetes.default.svc.cluster.local", true},
		"the control plane":                     {settings(), "istiod.istio-system.svc.cluster.local", true},
		"the control plane elsewhere":           {other, "istiod.mesh.svc.cluster.local", true},
		"one that is named":                     {settings([]string{"local", "a.default.svc.cluster.local"}), "a.default.svc.cluster.local", true},
		"another":                               {settings([]string{"local", "a.default.svc.cluster.local"}), "b.default.svc.cluster.local", false},
		"by a wildcard":                         {settings([]string{"local", "*.default.svc.cluster.local"}), "b.default.svc.cluster.local", true},
		"all, however written":                  {settings([]string{"local", "*"}), "a.default.svc.cluster.local", true},
		"in another spelling":                   {settings([]string{"local", "A.Default.svc.cluster.local."}), "a.default.svc.cluster.local", true},
		"the more specific counts":              {settings([]string{"local", "*"}, []string{"global", "*.default.svc.cluster.local"}), "a.default.svc.cluster.local", false},
		"whatever the order":                    {settings([]string{"global", "*.default.svc.cluster.local"}, []string{"local", "*"}), "a.default.svc.cluster.local", false},
		"the name before the wildcard":          {settings([]string{"local", "a.default.svc.cluster.local"}, []string{"global", "*.default.svc.cluster.local"}), "a.default.svc.cluster.local", true},
		"the last of equal ones":                {settings([]string{"local", "*.x"}, []string{"global", "*.x"}), "a.x", false},
		"kube-system is freed":                  {settings([]string{"global", "*.kube-system.svc.cluster.local"}), "dns.kube-system.svc.cluster.local", false},
		"with one of its services the whole is": {settings([]string{"global", "a.kube-system.svc.cluster.local"}), "dns.kube-system.svc.cluster.local", false},
		"all that is global leaves kube-system": {settings([]string{"global", "*"}), "dns.kube-system.svc.cluster.local", true},
	} {
		if got := model.ClusterLocal(c.mesh, domain, c.host); got != c.want {
			t.Errorf("%s: %s is local: %t", name, c.host, got)
		}
	}
}
