// Package incluster is what a control plane keeps in the cluster that it runs in. It has the key of its
// CA in a Secret, the root in a ConfigMap of every namespace, and its certificate's root in the webhooks
// that lead to it. One replica, the leader, writes; all read.
package incluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// ManagedBy is the label app.kubernetes.io/managed-by of what a control plane made itself, by which it is found
// when the mesh goes.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "pilot-discovery"
)

// Names of Secrets that hold a CA. A plugged-in one is the user's.
const (
	PluggedSecret = "cacerts"
	OwnSecret     = "istio-ca-secret"
)

// annotationSecret names, in the ConfigMap with the root of the control plane's namespace, the Secret whose CA the
// mesh has. Where it is cacerts and that is gone, no other CA takes its place until an operator has said otherwise
// here: a Secret that is replaced is often deleted first, and a mesh with two roots is in two parts.
const annotationSecret = "security.pilothouse.io/ca-secret"

// AuthorityOptions tell where the CA is.
type AuthorityOptions struct {
	Client    kubeclient.Interface
	Namespace string // of the control plane
	Logger    *slog.Logger

	known *authorityCaches // nil: the API server is asked each time
}

// authorityCaches hold the objects about the CA, so that looking at them again and again asks nobody.
type authorityCaches struct {
	secrets map[string]kubeclient.Cache[*corev1.Secret] // by name
	root    kubeclient.Cache[*corev1.ConfigMap]
}

// followed gives options by which objects are looked up in caches, and a function that waits for these to end, as
// they do with ctx.
func (o AuthorityOptions) followed(ctx context.Context) (_ AuthorityOptions, wait func()) {
	core := o.Client.CoreV1()
	o.known = &authorityCaches{
		secrets: map[string]kubeclient.Cache[*corev1.Secret]{},
		root:    kubeclient.Follow(o.Client, core.ConfigMaps(o.Namespace), &corev1.ConfigMap{}, rootMap),
	}
	informers := []cache.SharedIndexInformer{o.known.root}
	for _, name := range []string{PluggedSecret, OwnSecret} {
		o.known.secrets[name] = kubeclient.Follow(o.Client, core.Secrets(o.Namespace), &corev1.Secret{}, name)
		informers = append(informers, o.known.secrets[name])
	}
	return o, kubeclient.Run(ctx, informers...)
}

// Authority gives the files of the CA: of the Secret cacerts, else of istio-ca-secret, which is made if
// it is missing; own tells that they are of this one. Of several replicas that make it one wins, and all have its. Where cacerts is to be there and
// is gone, it waits.
func Authority(ctx context.Context, opts AuthorityOptions, create func() (map[string][]byte, error)) (_ map[string][]byte, own bool, _ error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for said := false; ; said = true {
		found, plugged, err := opts.read(ctx, false)
		if err == nil && found == nil {
			made, err := opts.make(ctx, create)
			return made, true, err
		}
		if found != nil && err != nil { // what is to be kept in mind is no reason to sign nothing
			opts.Logger.Warn("the CA's Secret is not noted", "error", err)
			return found, !plugged, nil
		}
		if !errors.Is(err, errGone) {
			return found, !plugged, err
		}
		if !said {
			opts.Logger.Error("no certificates are signed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-tick.C:
		}
	}
}

// make makes the Secret with a CA of our own.
func (o *AuthorityOptions) make(ctx context.Context, create func() (map[string][]byte, error)) (map[string][]byte, error) {
	made, err := create()
	if err != nil {
		return nil, err
	}
	secrets := o.Client.CoreV1().Secrets(o.Namespace)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: OwnSecret, Namespace: o.Namespace, Labels: map[string]string{labelManagedBy: ManagedBy}}, Type: "istio.io/ca-root", Data: made,
	}
	_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		secret, err = secrets.Get(ctx, OwnSecret, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Secret %s/%s: %w", o.Namespace, OwnSecret, err)
		}
		return Files(secret), nil
	case err != nil:
		return nil, fmt.Errorf("make Secret %s/%s: %w", o.Namespace, OwnSecret, err)
	}
	return made, nil
}

// errGone says that the CA's Secret is gone, and that no other one is to take its place.
var errGone = errors.New("it is the CA of this mesh")

// read reads the files of the CA; nil where there are none, errGone where none may be used. Files come with an error
// where they could not be noted. plugged says that they were those of cacerts before, which the caller then
// remembers: the ConfigMap that says it may be made anew meanwhile.
func (o *AuthorityOptions) read(ctx context.Context, plugged bool) (_ map[string][]byte, nowPlugged bool, _ error) {
	secret, err := o.secret(ctx, PluggedSecret)
	if err != nil {
		return nil, plugged, err
	}
	if secret != nil {
		return Files(secret), true, o.note(ctx)
	}
	if err := o.mayBeReplaced(ctx, plugged); err != nil {
		return nil, plugged, err
	}
	secret, err = o.secret(ctx, OwnSecret)
	if err != nil || secret == nil {
		return nil, plugged, err
	}
	return Files(secret), false, nil
}

// present gives the CA as its Secret has it now; nil where there is none that can be used, and who has the CA stays with
// it. plugged says that this one is that of cacerts.
func (o *AuthorityOptions) present(ctx context.Context, plugged bool) (*ca.Authority, error) {
	found, err := o.secret(ctx, PluggedSecret)
	own := false
	if err == nil && found == nil {
		own = true
		var said string
		said, err = o.said(ctx)
		if err == nil && !stays(said, plugged) {
			found, err = o.secret(ctx, OwnSecret)
		}
	}
	if err != nil || found == nil {
		return nil, err
	}
	a, err := ca.New(ca.Options{Files: Files(found), Own: own})
	if err != nil {
		return nil, nil // who follows the Secret says what is wrong with it, and stays with what it has
	}
	return a, nil
}

// secret gives a Secret of the control plane's namespace, nil for none.
func (o *AuthorityOptions) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	if o.known != nil {
		secret, _ := o.known.secrets[name].Get(o.Namespace, name)
		return secret, nil
	}
	secret, err := o.Client.CoreV1().Secrets(o.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Secret %s/%s: %w", o.Namespace, name, err)
	}
	return secret, nil
}

// mayBeReplaced gives errGone where cacerts, which is not there, is the CA of the mesh.
func (o *AuthorityOptions) mayBeReplaced(ctx context.Context, plugged bool) error {
	said, err := o.said(ctx)
	if err != nil || !stays(said, plugged) {
		return err
	}
	if said == "" {
		if err := o.note(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("the Secret %s/%s is gone, and %w: put it back, or have another CA take its place by `kubectl annotate -n %[1]s configmap %[4]s --overwrite %[5]s=%[6]s` and a restart of the control plane",
		o.Namespace, PluggedSecret, errGone, rootMap, annotationSecret, OwnSecret)
}

// said names the Secret that the mesh is said to have its CA from, "" for none.
func (o *AuthorityOptions) said(ctx context.Context) (string, error) {
	root, err := o.root(ctx)
	if err != nil || root == nil {
		return "", err
	}
	return root.Annotations[annotationSecret], nil
}

// stays tells whether a mesh keeps the CA of cacerts that is not there, by what is said, and else by what was before.
func stays(said string, plugged bool) bool { return said == PluggedSecret || said == "" && plugged }

// note keeps in mind that the mesh has the CA of cacerts.
func (o *AuthorityOptions) note(ctx context.Context) error {
	root, err := o.root(ctx)
	if err != nil || root == nil || root.Annotations[annotationSecret] == PluggedSecret { // it comes once there is a leader
		return err
	}
	metav1.SetMetaDataAnnotation(&root.ObjectMeta, annotationSecret, PluggedSecret)
	_, err = o.Client.CoreV1().ConfigMaps(o.Namespace).Update(ctx, root, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // at the next look
		return nil
	}
	return err
}

// root gives the ConfigMap with the root of the control plane's namespace, nil for none. A control plane may list
// it, as it does in all namespaces.
func (o *AuthorityOptions) root(ctx context.Context) (*corev1.ConfigMap, error) {
	if o.known != nil {
		root, _ := o.known.root.Get(o.Namespace, rootMap)
		return root.DeepCopy(), nil
	}
	list, err := o.Client.CoreV1().ConfigMaps(o.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", rootMap).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", o.Namespace, rootMap, err)
	}
	for i := range list.Items {
		if list.Items[i].Name == rootMap {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// lookEvery is how often the Secrets of the CA are looked at.
const lookEvery = 2 * time.Second

// FollowAuthority hands the files of the CA to use again and again, until ctx ends, with whether they are of a
// CA that was made here, if they are those of the look before: who replaces a Secret may delete it first. It
// watches them. The CA stays as it is while the API server is away, and where the Secrets are gone or hold
// nothing that can be used. It also stays where cacerts is gone and nobody has said that another CA may take its
// place.
func FollowAuthority(ctx context.Context, opts AuthorityOptions, use func(files map[string][]byte, own bool) error) error {
	opts, wait := opts.followed(ctx)
	defer wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said, plugged := "", false
	var former, found map[string][]byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		found, plugged, err = opts.read(ctx, plugged)
		switch {
		case found == nil:
		case maps.EqualFunc(found, former, bytes.Equal):
			err = errors.Join(use(found, !plugged), err)
		default:
			former = found
			continue
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != "" && now != said && ctx.Err() == nil { // once, and not at each look
			opts.Logger.Error("following the CA's Secret", "error", err)
		}
		said = now
	}
}

// Files gives a Secret's files by the names of Istio's, also those of one of type kubernetes.io/tls, without those that
// only tell of a rotation.
func Files(s *corev1.Secret) map[string][]byte {
	if s.Data[corev1.TLSCertKey] == nil {
		return ca.WithoutState(s.Data)
	}
	return map[string][]byte{
		"ca-cert.pem": s.Data[corev1.TLSCertKey], "ca-key.pem": s.Data[corev1.TLSPrivateKeyKey], "root-cert.pem": s.Data["ca.crt"],
	}
}
