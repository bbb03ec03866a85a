package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// TestAMachineGetsItsFiles makes a group and configures a machine of it, by what a cluster says.
func TestAMachineGetsItsFiles(t *testing.T) {
	var group bytes.Buffer
	cmd := newRoot()
	cmd.SetOut(&group)
	cmd.SetArgs(strings.Fields("x workload group create --name db -n shop -l app=db,tier=1 -p tcp=5432 -s db-account"))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	from := filepath.Join(dir, "db.yaml")
	if err := os.WriteFile(from, group.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	configMap := func(namespace, name, key, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{key: value}}
	}
	client := fake.NewClientset(
		configMap("istio-system", "istio", "mesh", "trustDomain: example.org"),
		configMap("istio-system", "istio-sidecar-injector", "values", `{"global": {"multiCluster": {"clusterName": "c1"}}}`),
		configMap("shop", "istio-ca-root-cert", "root-cert.pem", "the root"),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-account"}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "east"},
			Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}}},
		},
	)
	client.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		c := a.(clienttesting.CreateActionImpl)
		request := c.Object.(*authenticationv1.TokenRequest).DeepCopy()
		if c.Name != "db-account" || c.Namespace != "shop" || request.Spec.Audiences[0] != "istio-ca" || *request.Spec.ExpirationSeconds != 600 {
			t.Errorf("asked for a token of %s/%s, %+v", c.Namespace, c.Name, request.Spec)
		}
		request.Status.Token = "the token"
		return true, request, nil
	})
	c := &configure{from: from, to: filepath.Join(dir, "out"), gateway: "east.edge", tokenSeconds: 600}
	c.Namespace, c.Register = "istio-system", true
	var err error
	if c.Group, err = c.readGroup(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the files of the first
		files, err := c.files(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFiles(c.to, files); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(c.to, "istio-token"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := c.files(t.Context(), client)
	if err := writeFiles(c.to, files); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"root-cert.pem": "the root", "istio-token": "the token", "hosts": "192.0.2.7 istiod.istio-system.svc\n",
		"cluster.env": "ISTIO_META_AUTO_REGISTER_GROUP='db'\nISTIO_META_CLUSTER_ID='c1'\n", "mesh.yaml": "ISTIO_META_WORKLOAD_NAME: db\n",
	} {
		if data, err := os.ReadFile(filepath.Join(c.to, name)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
	if info, err := os.Stat(filepath.Join(c.to, "istio-token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token is for %v, %v", info.Mode(), err)
	}
}

func TestGroupsThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                                       "name the group",
		"--name db -n shop -p http":              "write NAME=PORT",
		"--name db -n shop -p http=70000":        "write NAME=PORT",
		"--name db -n shop -p a_b=80":            "no port name",
		"--name db -n shop -l =x":                "write NAME=VALUE",
		"--name db -n shop -l a=b/c":             "no label value",
		"--name db -n shop --name=A -l app=shop": "name",
	} {
		cmd := newRoot()
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs(append(strings.Fields("experimental workload group create"), strings.Fields(args)...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
