package kubeclient

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// listPatience is how long a list may take. An API server gives up on its own after a minute, unless told
	// otherwise.
	listPatience = 5 * time.Minute
	// watchGrace is how much longer than asked for a watch may take. An API server ends it in time.
	watchGrace = 30 * time.Second
)

// Asker lists and watches the objects of one kind.
type Asker interface {
	List(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// lasting is an Asker of an API server that may hang, or come back with an older state.
type lasting struct{ of Asker }

// Lasting gives the asker to a reflector so that nothing is missed for good, whatever becomes of the API server.
// Of itself a reflector waits without end for an answer, and for a watch to end. It goes on from the version
// that it had with an API server that has been put back to an older one. That tells it of nothing until its
// versions are as high again. The answers here end, and a version that the API server does not have is an error,
// after which a reflector lists anew.
func Lasting(of Asker) *cache.ListWatch {
	l := lasting{of}
	return &cache.ListWatch{ListWithContextFunc: l.list, WatchFuncWithContext: l.watch}
}

func (l lasting) list(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	return l.of.List(ctx, opts)
}

func (l lasting) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	if goesOn := opts.SendInitialEvents == nil && opts.ResourceVersion != "" && opts.ResourceVersion != "0"; goesOn {
		// Only the refusal matters: an API server that is behind the version refuses to list it.
		if _, err := l.list(ctx, metav1.ListOptions{
			ResourceVersion: opts.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, Limit: 1,
		}); err != nil {
			return nil, err
		}
	}
	patience := listPatience
	if opts.TimeoutSeconds != nil {
		patience = time.Duration(*opts.TimeoutSeconds)*time.Second + watchGrace
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	w, err := l.of.Watch(ctx, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	return &ending{w, cancel}, nil
}

// ending is a watch whose context ends with it.
type ending struct {
	watch.Interface
	cancel context.CancelFunc
}

// Stop ends the watch.
func (e *ending) Stop() {
	e.Interface.Stop()
	e.cancel()
}

// Ahead tells whether an API server refuses a version because it has not come so far. A reflector asks it anew then.
func Ahead(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}
