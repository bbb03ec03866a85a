package discovery

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// injectorMap is the ConfigMap with the injector's configuration and values; a revision has its own.
const injectorMap = "istio-sidecar-injector"

// injectors makes injectors of what the cluster says at present.
type injectors struct {
	*cluster
	maps  corelisters.ConfigMapLister
	nodes corelisters.NodeLister

	mu   sync.Mutex
	made map[[2]string]*inject.Injector // by cluster and network; nil after a change
	mesh any                            // of which they were made
}

// start follows the cluster's configuration.
func (i *injectors) start(ctx context.Context, group *errgroup.Group) error {
	maps := informers.NewSharedInformerFactoryWithOptions(i.client, 0, informers.WithNamespace(i.namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", i.mapName()).String()
		}))
	nodes := informers.NewSharedInformerFactoryWithOptions(i.client, 0, informers.WithTransform(versionOnly))
	i.maps, i.nodes = maps.Core().V1().ConfigMaps().Lister(), nodes.Core().V1().Nodes().Lister()
	changed := func(any) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.made = nil
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, now any) { changed(now) }}
	if _, err := maps.Core().V1().ConfigMaps().Informer().AddEventHandler(handler); err != nil {
		return err
	}
	nodeHandler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed}
	if _, err := nodes.Core().V1().Nodes().Informer().AddEventHandler(nodeHandler); err != nil {
		return err
	}
	for _, f := range []informers.SharedInformerFactory{maps, nodes} {
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
		group.Go(func() error {
			<-ctx.Done()
			f.Shutdown()
			return nil
		})
	}
	return ctx.Err()
}

func (i *injectors) mapName() string {
	if i.cfg.Revision == "" || i.cfg.Revision == inject.DefaultRevision {
		return injectorMap
	}
	return injectorMap + "-" + i.cfg.Revision
}

// versionOnly leaves of a node what injection reads.
func versionOnly(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion}}
	out.Status.NodeInfo.KubeletVersion = n.Status.NodeInfo.KubeletVersion
	return out, nil
}

// get gives the injector for pods of a cluster and network.
func (i *injectors) get(cluster, network string) (*inject.Injector, error) {
	mesh := i.store.Snapshot().Mesh()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.made == nil || i.mesh != any(mesh) {
		i.made, i.mesh = map[[2]string]*inject.Injector{}, mesh
	}
	of := [2]string{cluster, network}
	if in := i.made[of]; in != nil {
		return in, nil
	}
	cm, err := i.maps.ConfigMaps(i.namespace).Get(i.mapName())
	if err != nil {
		return nil, errors.New("ConfigMap " + i.namespace + "/" + i.mapName() + " is missing, which says how pods are injected")
	}
	in, err := inject.New(inject.Options{
		Mesh: mesh, Values: []byte(cm.Data["values"]), Config: []byte(cm.Data["config"]), Revision: i.cfg.Revision,
		ClusterID: cluster, Network: network, NativeSidecar: i.native(),
	})
	if err != nil {
		i.report(err)
		return nil, err
	}
	i.report(in.Problems()...)
	i.made[of] = in
	return in, nil
}

// report tells what is wrong with the configuration of injection.
func (i *injectors) report(errs ...error) {
	var problems []model.Problem
	for _, err := range errs {
		problems = append(problems, model.Problem{
			Object:   model.Key{Kind: model.KindConfigMap, Namespace: i.namespace, Name: i.mapName()},
			Severity: model.SeverityError, Reason: model.ReasonInvalid, Message: err.Error(),
		})
	}
	i.board.Report("inject", problems)
}

// native tells whether sidecars are init containers that stay: as configured, else where every kubelet
// has had that for long enough.
func (i *injectors) native() bool {
	if wanted, err := strconv.ParseBool(i.cfg.NativeSidecars); err == nil {
		return wanted
	}
	nodes, err := i.nodes.List(labels.Everything())
	if err != nil || len(nodes) == 0 {
		return false
	}
	for _, n := range nodes {
		if !nativeSince(n.Status.NodeInfo.KubeletVersion) {
			return false
		}
	}
	return true
}

// nativeSince tells whether a kubelet's version, v1.N…, is one with native sidecars that Istio uses.
func nativeSince(version string) bool {
	const minor = 33
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 || parts[0] != "1" {
		return false
	}
	n, err := strconv.Atoi(parts[1])
	return err == nil && n >= minor
}
