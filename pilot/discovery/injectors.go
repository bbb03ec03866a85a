package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"istio.io/api/label"
	meshconfig "istio.io/api/mesh/v1alpha1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// injectorMap is the ConfigMap with the injector's configuration and values; a revision has its own.
const injectorMap = "istio-sidecar-injector"

// injectors makes injectors of what the cluster says at present.
type injectors struct {
	*cluster
	maps  kubeclient.Cache[*corev1.ConfigMap]
	nodes kubeclient.Cache[*corev1.Node]

	mu   sync.Mutex
	made map[[2]string]*inject.Injector // by cluster and network; nil after a change
	// These are what they were made of.
	mesh    *meshconfig.MeshConfig
	configs []*model.Object
}

// start follows the cluster's configuration.
func (i *injectors) start(ctx context.Context, group *errgroup.Group) error {
	i.maps = kubeclient.Follow(i.client, i.client.CoreV1().ConfigMaps(i.namespace), &corev1.ConfigMap{}, i.mapName())
	i.nodes = kubeclient.Follow(i.client, i.client.CoreV1().Nodes(), &corev1.Node{}, "")
	if err := i.nodes.SetTransform(versionOnly); err != nil {
		return err
	}
	changed := func(any) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.made = nil
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, now any) { changed(now) }}
	if _, err := i.maps.AddEventHandler(handler); err != nil {
		return err
	}
	nodeHandler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed}
	if _, err := i.nodes.AddEventHandler(nodeHandler); err != nil {
		return err
	}
	wait := kubeclient.Run(ctx, i.maps, i.nodes)
	group.Go(func() error {
		wait()
		return nil
	})
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
	i.mu.Lock()
	defer i.mu.Unlock()
	snapshot := i.store.Snapshot() // with the lock, so that nobody goes back to a former one
	mesh, configs := snapshot.Mesh(), snapshot.ProxyConfigs()
	if i.made == nil || i.mesh != mesh || !slices.Equal(i.configs, configs) {
		i.made, i.mesh, i.configs = map[[2]string]*inject.Injector{}, mesh, configs
	}
	of := [2]string{cluster, network}
	if in := i.made[of]; in != nil {
		return in, nil
	}
	cm, found := i.maps.Get(i.namespace, i.mapName())
	if !found {
		return nil, errors.New("ConfigMap " + i.namespace + "/" + i.mapName() + " is missing, which says how pods are injected")
	}
	in, err := inject.New(inject.Options{
		Mesh: mesh, ProxyConfigs: configs, Values: []byte(cm.Data["values"]), Config: []byte(cm.Data["config"]), Revision: i.cfg.Revision,
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

// policy gives what decides which pods are injected; nil where the configuration is missing or wrong, so that none is.
func (i *injectors) policy(ctx context.Context) (*inject.Policy, error) {
	in, err := i.get(i.cfg.ClusterID, "")
	if err != nil {
		return nil, nil // it is reported
	}
	out := in.Policy()
	out.Tags, err = tags(ctx, i.client.AdmissionregistrationV1().MutatingWebhookConfigurations(), out.Revision)
	return &out, err
}

// tags gives those of a revision, by the webhooks that each has.
func tags(ctx context.Context, webhooks kubeclient.Lister[*admissionv1.MutatingWebhookConfigurationList], revision string) ([]string, error) {
	list, err := webhooks.List(ctx, metav1.ListOptions{LabelSelector: label.IoIstioTag.Name + "," + label.IoIstioRev.Name + "=" + revision})
	if err != nil {
		return nil, fmt.Errorf("list the webhooks of tags: %w", err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Labels[label.IoIstioTag.Name])
	}
	slices.Sort(out)
	return slices.Compact(out), nil
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
	nodes := i.nodes.All()
	if len(nodes) == 0 {
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
