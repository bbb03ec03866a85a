// Package incluster is what a control plane keeps in the cluster that it runs in: the key of its CA in
// a Secret, the root in a ConfigMap of every namespace, and its certificate's root in the webhooks that
// lead to it. One replica, the leader, writes; all read.
package incluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ManagedBy is the label app.kubernetes.io/managed-by of what a control plane made itself, by which it is found
// when the mesh goes.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "pilot-discovery"
)

// Names of Secrets that hold a CA. A plugged-in one is the user's.
const (
	pluggedSecret = "cacerts"
	ownSecret     = "istio-ca-secret"
)

// Authority gives the files of the CA: of the Secret cacerts, else of istio-ca-secret, which is made if
// it is missing. Of several replicas that make it one wins, and all have its.
func Authority(ctx context.Context, client kubernetes.Interface, namespace string, create func() (map[string][]byte, error)) (map[string][]byte, error) {
	secrets := client.CoreV1().Secrets(namespace)
	for _, name := range []string{pluggedSecret, ownSecret} {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return files(secret), nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
		}
	}
	made, err := create()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: ownSecret, Namespace: namespace, Labels: map[string]string{labelManagedBy: ManagedBy}}, Type: "istio.io/ca-root", Data: made,
	}
	_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		secret, err = secrets.Get(ctx, ownSecret, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, ownSecret, err)
		}
		return files(secret), nil
	case err != nil:
		return nil, fmt.Errorf("make Secret %s/%s: %w", namespace, ownSecret, err)
	}
	return made, nil
}

// files gives a Secret's files by the names of Istio's, also those of one of type kubernetes.io/tls.
func files(s *corev1.Secret) map[string][]byte {
	if s.Data[corev1.TLSCertKey] == nil {
		return s.Data
	}
	return map[string][]byte{
		"ca-cert.pem": s.Data[corev1.TLSCertKey], "ca-key.pem": s.Data[corev1.TLSPrivateKeyKey], "root-cert.pem": s.Data["ca.crt"],
	}
}
