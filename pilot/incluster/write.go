package incluster

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	// rootMap is the ConfigMap from which agents have the root.
	rootMap = "istio-ca-root-cert"
	rootKey = "root-cert.pem"
	// crlMap is the ConfigMap from which agents have what a plugged-in CA has revoked.
	crlMap = "istio-ca-crl"
	crlKey = "ca-crl.pem"
	// serviceName is the Service by which the API server reaches the webhooks of the default revision.
	serviceName = "istiod"
	// again is the pause after a write that failed.
	again = 2 * time.Second
)

// writer keeps what the leader has to keep as it should be.
type writer struct {
	Options
	roots, lists kubeclient.Cache[*corev1.ConfigMap]
	namespaces   kubeclient.Cache[*corev1.Namespace]
	mutating     kubeclient.Cache[*admissionv1.MutatingWebhookConfiguration]
	validating   kubeclient.Cache[*admissionv1.ValidatingWebhookConfiguration]
	wake         chan struct{}
}

// write keeps the root in all namespaces, and in the webhooks, until ctx ends.
func write(ctx context.Context, opts Options) error {
	c, core, hooks := opts.Client, opts.Client.CoreV1(), opts.Client.AdmissionregistrationV1()
	w := &writer{
		Options: opts, wake: make(chan struct{}, 1),
		roots:      kubeclient.Follow(c, core.ConfigMaps(""), &corev1.ConfigMap{}, rootMap),
		lists:      kubeclient.Follow(c, core.ConfigMaps(""), &corev1.ConfigMap{}, crlMap),
		namespaces: kubeclient.Follow(c, core.Namespaces(), &corev1.Namespace{}, ""),
		mutating:   kubeclient.Follow(c, hooks.MutatingWebhookConfigurations(), &admissionv1.MutatingWebhookConfiguration{}, ""),
		validating: kubeclient.Follow(c, hooks.ValidatingWebhookConfigurations(), &admissionv1.ValidatingWebhookConfiguration{}, ""),
	}
	informers := []cache.SharedIndexInformer{w.roots, w.lists, w.namespaces, w.mutating, w.validating}
	if err := kubeclient.Wake(w.wake, informers...); err != nil {
		return err
	}
	defer kubeclient.Run(ctx, informers...)()
	w.tell([]byte{})
	defer w.tell(nil)
	return w.run(ctx)
}

func (w *writer) tell(roots []byte) {
	if w.Written != nil {
		w.Written(roots)
	}
}

func (w *writer) run(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	others := w.Roots.Changed()
	var unseen unseenFor
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-others:
			others = w.Roots.Changed()
		case <-w.wake:
		case <-pause.C:
		}
		roots := w.Roots.RootPEM()
		err := w.reconcile(ctx)
		if unseen.tooLong(time.Now(), err) {
			w.Logger.Warn("what is not written waits for more than a minute", "error", err)
		}
		switch {
		case ctx.Err() != nil:
			continue
		case errors.Is(err, errUnseen):
			pause.Reset(again)
			continue
		case err != nil:
			w.Logger.Warn("cannot write", "error", err)
			pause.Reset(again)
			continue
		}
		if bytes.Equal(roots, w.Roots.RootPEM()) { // else the next round is due
			w.tell(roots)
		}
	}
}

// errUnseen says that something is there that the caches do not have yet, or is going. Whether it is as it should be is
// seen at a later look.
var errUnseen = errors.New("the caches are behind")

// unseenFor counts for how long looks have ended with errUnseen, one after the other.
type unseenFor struct {
	since time.Time // zero: the last one has not
	told  bool
}

// tooLong tells, once, that it is longer than the caches take.
func (u *unseenFor) tooLong(now time.Time, err error) bool {
	switch {
	case !errors.Is(err, errUnseen):
		*u = unseenFor{}
	case u.since.IsZero():
		u.since = now
	case !u.told && now.Sub(u.since) > time.Minute:
		u.told = true
		return true
	}
	return false
}

// reconcile does what it can; the error is errUnseen where the rest is done and something is to be looked at again.
func (w *writer) reconcile(ctx context.Context) error {
	roots, lists := w.Roots.RootPEM(), w.Roots.CRL()
	var due []func(context.Context) error
	for _, ns := range w.namespaces.All() {
		if ns.DeletionTimestamp == nil && !slices.Contains(model.ClusterNamespaces(), ns.Name) {
			due = append(due, w.keep(w.roots, ns.Name, rootMap, rootKey, roots), w.keep(w.lists, ns.Name, crlMap, crlKey, lists))
		}
	}
	due = append(due, w.webhooks()...)
	due = slices.DeleteFunc(due, func(write func(context.Context) error) bool { return write == nil })
	if len(due) == 0 {
		return nil
	}
	if err := w.behind(ctx, roots, lists); err != nil {
		return err
	}
	var unseen error
	for _, write := range due {
		if err := write(ctx); errors.Is(err, errUnseen) {
			unseen = errUnseen
		} else if err != nil {
			return err
		}
	}
	return unseen
}

// behind gives errUnseen where the CA's Secret holds other roots or lists than this replica has yet, so that the Secret
// alone orders what the leaders of several revisions write. It is asked after the caches. What these have by another
// leader was written when that had read the Secret, and a write in the place of something newer fails.
func (w *writer) behind(ctx context.Context, roots, lists []byte) error {
	if w.Stored == nil {
		return nil
	}
	has, err := w.Stored.present(ctx, w.Roots.Plugged())
	if err != nil {
		return err
	}
	if has != nil && !(sameBlocks(has.RootPEM(), roots) && sameBlocks(has.CRL(), lists)) {
		return fmt.Errorf("the CA's Secret has other roots or revocations than this control plane: %w", errUnseen)
	}
	return nil
}

// keep gives what keeps a ConfigMap of a namespace; nil for nothing to do. One that would be empty is not made; one that
// is there becomes empty, which agents take for its end.
func (w *writer) keep(from kubeclient.Cache[*corev1.ConfigMap], namespace, name, key string, value []byte) func(context.Context) error {
	data := map[string]string{key: string(value)}
	have, found := from.Get(namespace, name)
	to := w.Client.CoreV1().ConfigMaps(namespace)
	switch {
	case found && sameBlocks([]byte(have.Data[key]), value), !found && len(value) == 0:
		return nil
	case found:
		have = have.DeepCopy()
		have.Data = data
		return func(ctx context.Context) error {
			_, err := to.Update(ctx, have, metav1.UpdateOptions{})
			return err
		}
	}
	return func(ctx context.Context) error {
		_, err := to.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"istio.io/config": "true", labelManagedBy: ManagedBy}},
			Data:       data,
		}, metav1.CreateOptions{})
		// The namespace may be going; or the cache does not know of the map yet.
		if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return errUnseen
		}
		return err
	}
}

// webhooks gives what keeps the root in the webhooks that lead to this control plane.
func (w *writer) webhooks() (due []func(context.Context) error) {
	hooks := w.Client.AdmissionregistrationV1()
	for _, c := range w.mutating.All() {
		var clients []*admissionv1.WebhookClientConfig
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		if patch := w.bundles(clients); patch != nil {
			due = append(due, func(ctx context.Context) error {
				_, err := hooks.MutatingWebhookConfigurations().Patch(ctx, c.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
				return err
			})
		}
	}
	for _, c := range w.validating.All() {
		var clients []*admissionv1.WebhookClientConfig
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		if patch := w.bundles(clients); patch != nil {
			due = append(due, func(ctx context.Context) error {
				_, err := hooks.ValidatingWebhookConfigurations().Patch(ctx, c.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
				return err
			})
		}
	}
	return due
}

// bundles gives the patch that sets the root where it is another one, nil for none.
func (w *writer) bundles(clients []*admissionv1.WebhookClientConfig) []byte {
	type step struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value []byte `json:"value"`
	}
	var steps []step
	roots := w.Roots.RootPEM()
	for i, c := range clients {
		if c.Service != nil && c.Service.Name == ServiceName(w.Revision) && c.Service.Namespace == w.Namespace && !sameBlocks(c.CABundle, roots) {
			steps = append(steps, step{"add", "/webhooks/" + strconv.Itoa(i) + "/clientConfig/caBundle", roots})
		}
	}
	if steps == nil {
		return nil
	}
	patch, _ := json.Marshal(steps) // it cannot fail
	return patch
}

// sameBlocks tells whether two texts have the same PEM blocks in any order, which says nothing of what is trusted:
// leaders of two revisions would write over each other's for ever.
func sameBlocks(a, b []byte) bool { return maps.Equal(blocks(a), blocks(b)) }

// blocks gives the PEM blocks of a text, and what is none.
func blocks(text []byte) map[string]bool {
	out := map[string]bool{}
	block, rest := pem.Decode(text)
	for ; block != nil; block, rest = pem.Decode(rest) {
		out[string(block.Bytes)] = true
	}
	out[string(bytes.TrimSpace(rest))] = true
	return out
}

// ServiceName names the Service of a revision's control plane.
func ServiceName(revision string) string {
	if revision == "" || revision == "default" {
		return serviceName
	}
	return serviceName + "-" + revision
}

// IsService tells whether the Service of some revision's control plane has this name.
func IsService(name string) bool {
	return name == serviceName || strings.HasPrefix(name, serviceName+"-")
}
