// Package incluster is what a control plane keeps in the cluster that it runs in: the key of its CA in
// a Secret, the root in a ConfigMap of every namespace, and its certificate's root in the webhooks that
// lead to it. One replica, the leader, writes; all read.
package incluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

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
	if found, err := authority(ctx, client, namespace); found != nil || err != nil {
		return found, err
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

// authority reads the files of the CA; nil where there are none.
func authority(ctx context.Context, client kubernetes.Interface, namespace string) (map[string][]byte, error) {
	for _, name := range []string{pluggedSecret, ownSecret} {
		secret, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return files(secret), nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
		}
	}
	return nil, nil
}

// lookEvery is how often the Secrets of the CA are read.
const lookEvery = 5 * time.Second

// FollowAuthority hands the files of the CA to use again and again, until ctx ends, if they are those of the
// look before: who replaces a Secret may delete it first. While the API server is away, and where the Secrets are
// gone or hold nothing that can be used, the CA stays as it is.
func FollowAuthority(ctx context.Context, client kubernetes.Interface, namespace string, use func(map[string][]byte) error, log *slog.Logger) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	var former map[string][]byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		found, err := authority(ctx, client, namespace)
		switch {
		case err != nil || found == nil:
		case maps.EqualFunc(found, former, bytes.Equal):
			err = use(found)
		default:
			former = found
			continue
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != "" && now != said && ctx.Err() == nil { // once, and not at each look
			log.Error("the CA stays as it is", "error", err)
		}
		said = now
	}
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
