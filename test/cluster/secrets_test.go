package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// edge is the namespace of a gateway that is not beside the control plane.
const edge = "edge"

const edgeName = "edge.example.com"

// secretsAreForWhoMayReadThem runs a gateway of another namespace: it has its certificate once its service
// account may list Secrets, and the certificate that is there after it was replaced. It names a WorkloadGroup too.
func (w *world) secretsAreForWhoMayReadThem(ctx context.Context) {
	w.Helper()
	check := func(err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	core := w.client.CoreV1()
	_, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: edge}}, metav1.CreateOptions{})
	check(err)
	secret := w.certificate()
	_, err = core.Secrets(edge).Create(ctx, secret, metav1.CreateOptions{})
	check(err)
	gateway := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: edge, Labels: map[string]string{"app": edge, "sidecar.istio.io/inject": "true"},
			Annotations: map[string]string{"inject.istio.io/templates": "gateway", "proxy.istio.io/config": registeredBy(edge)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Image: "auto"}}},
	}
	// A new namespace has its service account a moment later.
	w.until(ctx, "the gateway's pod", func(ctx context.Context) (bool, error) {
		_, err := core.Pods(edge).Create(ctx, gateway, metav1.CreateOptions{})
		return err == nil, err
	})
	check(w.mesh.Apply(ctx, []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": map[string]any{"name": edge, "namespace": edge},
		"spec": map[string]any{"selector": map[string]any{"app": edge}, "servers": []any{map[string]any{
			"port": map[string]any{"number": int64(8443), "name": "https", "protocol": "HTTPS"}, "hosts": []any{edgeName},
			"tls": map[string]any{"mode": "SIMPLE", "credentialName": edge},
		}}},
	}}}))
	var address string
	w.until(ctx, "the gateway", func(ctx context.Context) (bool, error) {
		pod, err := core.Pods(edge).Get(ctx, edge, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		address = net.JoinHostPort(pod.Status.PodIP, "8443")
		return ready(pod), fmt.Errorf("%v", pod.Status.ContainerStatuses)
	})
	if _, err := presented(ctx, address); err == nil {
		w.Error("a gateway has the Secret that its service account may not read")
	}
	rights := w.client.RbacV1()
	role, err := rights.Roles(edge).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "secrets"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	check(err)
	_, err = rights.RoleBindings(edge).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "secrets"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "default", Namespace: edge}},
	}, metav1.CreateOptions{})
	check(err)
	w.presents(ctx, address, secret)
	next := w.certificate()
	_, err = core.Secrets(edge).Update(ctx, next, metav1.UpdateOptions{})
	check(err)
	w.presents(ctx, address, next)
	w.machineIsRegistered(ctx, edge, edge)
	check(core.Namespaces().Delete(ctx, edge, metav1.DeleteOptions{}))
}

// certificate makes a Secret with a key and its certificate.
func (w *world) certificate() *corev1.Secret {
	w.Helper()
	pair := envoytest.NewSecrets(w).Sign(w, "edge", []string{edgeName})
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		w.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: edge, Namespace: edge}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		},
	}
}

// presents waits until a server presents a Secret's certificate.
func (w *world) presents(ctx context.Context, address string, secret *corev1.Secret) {
	w.Helper()
	w.until(ctx, "the certificate", func(ctx context.Context) (bool, error) {
		got, err := presented(ctx, address)
		return err == nil && string(got) == string(secret.Data[corev1.TLSCertKey]), fmt.Errorf("%s, %w", got, err)
	})
}

// presented gives the certificate of a server of TLS in PEM.
func presented(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: edgeName, InsecureSkipVerify: true}} // it is compared
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), nil
}
