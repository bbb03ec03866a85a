// Package kube is the source that reads the mesh's objects from an API server. It lists and watches Services,
// EndpointSlices, Pods, Namespaces, the mesh configuration, Secrets and Istio's kinds. It checks each as the
// source of files does, and hands the store events and problems. It keeps of an object what the mesh reads, and
// keeps all of it while the API server is away.
package kube

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// Options of a Source. The zero value is good.
type Options struct {
	// Name under which the source reports to its sink, "kube" if empty.
	Name string
	// Revision of the control plane: the mesh configuration is read from ConfigMap istio-REVISION, or
	// istio for the default revision.
	Revision string
	// Namespace of the control plane, in which that ConfigMap is; istio-system if empty.
	Namespace string
	// MaxBackoff is the longest pause before an API server that does not answer is asked again; 5 s if 0.
	MaxBackoff time.Duration
	// Condition is the type of the condition by which this control plane tells in an object's status what is
	// wrong with it; empty where it tells nothing.
	Condition string
	Logger    *slog.Logger // nil for none
}

// Source reads an API server and follows its changes.
type Source struct {
	opts    Options
	log     *slog.Logger
	typed   kubeclient.Interface
	dynamic dynamic.Interface
	meta    metadata.Interface
	istio   map[schema.GroupResource]kinds.Istio // the kinds of Istio by resource

	watching sync.WaitGroup
	again    chan struct{} // holds one token while the sink waits for a call
	progress *progress
	// incomparable is for what is logged where versions are no numbers.
	incomparable sync.Once

	mu     sync.Mutex // what follows, and calls of the sink
	sink   model.Sink
	reader *file.Reader
	// kinds are the watches; awaited those that have not had their first list.
	kinds   map[schema.GroupResource]*watched
	awaited map[schema.GroupResource]struct{}
	started bool // the first list of definitions is known
	// undefined says that definitions may not be read, so that kinds may go without a word.
	undefined bool
	synced    bool
	told      []model.Problem
	renoted   chan struct{} // closed and replaced when another thing is noted
}

// New gives a source of the API server that the configuration leads to.
func New(config *rest.Config, opts Options) (*Source, error) {
	opts.Name = cmp.Or(opts.Name, "kube")
	opts.MaxBackoff = cmp.Or(opts.MaxBackoff, 5*time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // watches are few, and begin at once
	s := &Source{
		opts: opts, log: opts.Logger, reader: file.NewReader(), istio: istioResources(),
		kinds: map[schema.GroupResource]*watched{}, awaited: map[schema.GroupResource]struct{}{},
		renoted: make(chan struct{}), again: make(chan struct{}, 1),
		progress: newProgress(),
	}
	var err error
	if s.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	if s.meta, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if s.typed, err = kubeclient.New(config); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return s, nil
}

// Run delivers the API server's objects to the sink, then their changes, until ctx ends. An API
// server that does not answer is a problem, and is asked again.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	// client-go logs what is reported as a problem here.
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(slog.DiscardHandler))
	s.sink = sink
	s.mu.Lock()
	for _, k := range s.kubernetesKinds() {
		s.follow(ctx, k)
	}
	s.mu.Unlock()
	s.watching.Go(func() { s.followDefinitions(ctx) })
	for {
		select {
		case <-ctx.Done():
			s.watching.Wait()
			return nil
		case <-s.again:
			s.mu.Lock()
			s.sink.Apply(s.opts.Name, nil, s.told)
			s.mu.Unlock()
		}
	}
}

// Each visits all objects that the source has. It is for the sink, while that takes a call.
func (s *Source) Each(visit func(*model.Object)) {
	for _, w := range s.kinds {
		for _, objects := range w.known {
			for _, o := range objects {
				visit(o)
			}
		}
	}
}

// Again lets the source call its sink soon.
func (s *Source) Again() {
	select {
	case s.again <- struct{}{}:
	default: // it will
	}
}

// follow starts the watch of a kind. The lock is held.
func (s *Source) follow(ctx context.Context, w *watched) {
	s.kinds[w.resource] = w
	s.progress.follow(w.resource.String())
	if !s.synced {
		s.awaited[w.resource] = struct{}{}
	}
	ctx, w.stop = context.WithCancel(ctx)
	s.watching.Go(func() { s.reflect(ctx, w.resource.String(), w.client, w) })
}

// reflect keeps a store as the API server says until ctx ends.
func (s *Source) reflect(ctx context.Context, name string, client cache.ListerWatcher, store cache.ReflectorStore) {
	logger := klog.FromContext(ctx)
	cache.NewReflectorWithOptions(client, nil, store, cache.ReflectorOptions{
		Name: name, Logger: &logger,
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: s.opts.MaxBackoff},
	}).RunWithContext(ctx)
}

// listed notes that a kind has had its first list, or is not there. The lock is held.
func (s *Source) listed(of schema.GroupResource) {
	delete(s.awaited, of)
	if len(s.awaited) == 0 && s.started && !s.synced {
		s.synced = true
		s.sink.Synced(s.opts.Name)
		s.log.Info("all objects of the API server are known", "kinds", len(s.kinds))
	}
}

// deliver tells the sink what changed. The lock is held.
func (s *Source) deliver(events []model.Event) {
	var problems []model.Problem
	for _, w := range s.kinds {
		for _, e := range w.troubled {
			problems = append(problems, e...)
		}
		if w.failure != "" {
			problems = append(problems, model.Problem{
				Object: model.Key{Kind: kindSource, Name: s.opts.Name}, Severity: model.SeverityWarning, Reason: model.ReasonDegraded,
				Message: "the API server does not give " + w.resource.String() + ": " + w.failure + "; what is known of it goes on being served",
			})
		}
	}
	slices.SortFunc(problems, model.CompareProblems)
	problems = slices.Compact(problems)
	if len(events) == 0 && slices.Equal(problems, s.told) {
		return
	}
	s.told = problems
	slices.SortFunc(events, func(a, b model.Event) int { return a.Compare(b.Key) })
	s.sink.Apply(s.opts.Name, events, problems)
}

// kindSource is the kind under which a source itself is reported.
const kindSource model.Kind = "Source"

// key names an object of the API server within its kind.
func key(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// istioResources gives the kinds of Istio by resource.
func istioResources() map[schema.GroupResource]kinds.Istio {
	out := map[schema.GroupResource]kinds.Istio{}
	for kind, k := range kinds.OfIstio() {
		out[schema.GroupResource{Group: k.Group, Resource: kinds.Resource(kind)}] = k
	}
	return out
}
