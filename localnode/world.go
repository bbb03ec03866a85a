package localnode

import (
	"os"
	"path/filepath"
	"slices"
	"sync"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// caFiles are the ConfigMaps that Istio's pods mount to know the control plane's root certificate, and what its
// CA has revoked, with the file of the CA that each shows under its name.
var caFiles = map[string]string{"istio-ca-root-cert": "root-cert.pem", "istio-ca-crl": "ca-crl.pem"}

// world holds the objects of the mesh's directories. It implements model.Sink and volume.Objects.
type world struct {
	dir     state.Dir
	changed chan struct{} // has one element when something changed that was not looked at

	mu      sync.RWMutex
	objects map[model.Key]*model.Object
	synced  bool
	onIssue func(model.Problem)
	// onVolumes is called when objects changed that volumes show.
	onVolumes func()
	told      map[model.Problem]bool
}

func newWorld(dir state.Dir, onIssue func(model.Problem)) *world {
	return &world{dir: dir, changed: make(chan struct{}, 1), objects: map[model.Key]*model.Object{}, onIssue: onIssue, told: map[model.Problem]bool{}}
}

// Apply implements model.Sink.
func (w *world) Apply(_ string, events []model.Event, problems []model.Problem) {
	w.mu.Lock()
	shown := false
	for _, e := range events {
		shown = shown || e.Kind == model.KindConfigMap || e.Kind == kindSecret
		if e.New == nil {
			delete(w.objects, e.Key)
		} else {
			w.objects[e.Key] = e.New
		}
	}
	told := map[model.Problem]bool{}
	var fresh []model.Problem
	for _, p := range problems {
		if told[p] = true; !w.told[p] {
			fresh = append(fresh, p)
		}
	}
	w.told = told
	w.mu.Unlock()
	for _, p := range fresh {
		w.onIssue(p)
	}
	if shown {
		w.onVolumes()
	}
	w.signal()
}

// Synced implements model.Sink.
func (w *world) Synced(string) {
	w.mu.Lock()
	w.synced = true
	w.mu.Unlock()
	w.signal()
}

// signal asks for a look at the world; several signals before it make one.
func (w *world) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *world) isSynced() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.synced
}

// list gives the content of the objects of a kind in the order of their keys.
func list[T any](w *world, kind model.Kind) []T {
	var out []T
	for _, o := range w.ofKind(kind) {
		if spec, ok := o.Spec.(T); ok {
			out = append(out, spec)
		}
	}
	return out
}

// ofKind gives the objects of a kind in the order of their keys.
func (w *world) ofKind(kind model.Kind) []*model.Object {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []*model.Object
	for k, o := range w.objects {
		if k.Kind == kind {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *model.Object) int { return a.Key.Compare(b.Key) })
	return out
}

func get[T any](w *world, key model.Key) (T, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var none T
	o, ok := w.objects[key]
	if !ok {
		return none, false
	}
	t, ok := o.Spec.(T)
	return t, ok
}

// injection gives what is said of sidecars at present.
func (w *world) injection() Injection {
	mesh, _ := get[*meshconfig.MeshConfig](w, model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName})
	return Injection{Mesh: mesh, ProxyConfigs: w.ofKind(model.KindProxyConfig)}
}

// ConfigMap implements volume.Objects. Those of the CA are in every namespace, as the control plane would put
// them there.
func (w *world) ConfigMap(namespace, name string) (*corev1.ConfigMap, bool) {
	cm, ok := get[*corev1.ConfigMap](w, model.Key{Kind: model.KindConfigMap, Namespace: namespace, Name: name})
	file := caFiles[name]
	if ok || file == "" {
		return cm, ok
	}
	pem, err := os.ReadFile(filepath.Join(w.dir.CA(), file))
	if err != nil {
		return nil, false // the control plane has not made it yet, or has none
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{file: string(pem)},
	}, true
}

// kindSecret is read for workloads only: the control plane's files hold none.
const kindSecret model.Kind = "Secret"

// Secret implements volume.Objects.
func (w *world) Secret(namespace, name string) (*corev1.Secret, bool) {
	return get[*corev1.Secret](w, model.Key{Kind: kindSecret, Namespace: namespace, Name: name})
}
