package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	clientinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/bench/process"
)

// ServeInformers is the process of bare informers: client-go's, of the kinds that a control plane reads, with
// nobody who listens to them. It serves its metrics on an address once they have synced.
func ServeInformers(ctx context.Context, kubeconfig, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	of := clientinformers.NewSharedInformerFactory(client, 0)
	of.Core().V1().Pods().Informer()
	of.Core().V1().Services().Informer()
	of.Core().V1().Namespaces().Informer()
	of.Core().V1().Secrets().Informer()
	of.Core().V1().ConfigMaps().Informer()
	of.Discovery().V1().EndpointSlices().Informer()
	of.Networking().V1().Ingresses().Informer()
	istio := dynamicinformer.NewDynamicSharedInformerFactory(objects, 0)
	for _, r := range []schema.GroupVersionResource{
		{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
		{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
		{Group: "security.istio.io", Version: "v1", Resource: "peerauthentications"},
	} {
		istio.ForResource(r).Informer()
	}
	of.Start(ctx.Done())
	istio.Start(ctx.Done())
	of.WaitForCacheSync(ctx.Done())
	istio.WaitForCacheSync(ctx.Done())
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	server := &http.Server{Addr: address, Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: patience}
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// informers are the running ones; nil where there is no API server.
type informers struct {
	server
	cpu    time.Duration
	before sample
	err    error
}

// startInformers runs bare informers, if there is an API server, until they have synced.
func (r *runner) startInformers(ctx context.Context) (*informers, error) {
	if r.cluster == nil || len(r.Informers) == 0 {
		return nil, nil
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	i := &informers{server: server{monitoring: ports[0], log: filepath.Join(r.Dir, "informers.log")}}
	args := append(append([]string{}, r.Informers[1:]...), r.Kubeconfig, ports[0])
	if i.Process, err = process.Start(ctx, i.log, r.Informers[0], args...); err != nil {
		return nil, err
	}
	err = wait(ctx, "bare informers", inquiry, 1, func() int {
		if _, err := i.sample(ctx); err != nil {
			return 0
		}
		return 1
	})
	if err != nil {
		i.stop()
		return nil, fmt.Errorf("%w: %s", err, i.tail())
	}
	return i, nil
}

// begin notes what they have used until now.
func (i *informers) begin(ctx context.Context) {
	if i == nil {
		return
	}
	if i.before, i.err = i.sample(ctx); i.err == nil {
		i.cpu, i.err = i.CPU()
	}
}

// end gives what they have used since, beside a result; nil without an API server.
func (i *informers) end(ctx context.Context, of *Result) (*Result, error) {
	if i == nil {
		return nil, nil
	}
	cpu, err := i.CPU()
	if err = errors.Join(i.err, err); err != nil {
		return nil, fmt.Errorf("bare informers: %w", err)
	}
	after, err := i.sample(ctx)
	if err != nil {
		return nil, fmt.Errorf("bare informers: %w", err)
	}
	return &Result{
		Name: of.Name, Changes: of.Changes, Making: of.Making, ServerCPU: (cpu - i.cpu).Seconds(),
		Allocs: after.allocs - i.before.allocs, AllocBytes: after.allocBytes - i.before.allocBytes, Live: after.live,
	}, nil
}

func (i *informers) stop() {
	if i != nil {
		i.server.stop(true)
	}
}
