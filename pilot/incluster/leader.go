package incluster

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"istio.io/api/label"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
)

// Roots are those of the CA.
type Roots interface {
	// RootPEM gives the present ones, CRL what they have revoked, in PEM; nil for no list.
	RootPEM() []byte
	CRL() []byte
	// Plugged tells whether the CA is plugged in.
	Plugged() bool
	// Changed gives a channel that is closed when they are others. It is taken before they are read.
	Changed() <-chan struct{}
}

// Options of what a control plane writes.
type Options struct {
	Client    kubeclient.Interface
	Namespace string // of the control plane
	Revision  string // "" for the default one
	Identity  string // of this replica
	Roots     Roots
	// Stored is where the files of the CA are, which the leaders of all revisions share; nil where they are elsewhere.
	Stored *AuthorityOptions
	// Dynamic, Objects and Problems are for the status of objects; nil for none.
	Dynamic  dynamic.Interface
	Objects  Objects
	Problems Problems
	// Replicas are asked for what only they know of objects; nil for none.
	Replicas Replicas
	// Mesh is for the status of Ingresses; nil for none.
	Mesh Mesh
	// Written is told which roots (PEM) are in all namespaces and webhooks: none when this replica begins to lead, nil
	// when it leads no more. It may be nil.
	Written func(roots []byte)
	// Root is for the self-signed root in a Secret; nil where the CA is elsewhere.
	Root   *RootOptions
	Logger *slog.Logger
}

// The times of the lease: another replica leads after lease at the latest.
const (
	lease = 15 * time.Second
	renew = 10 * time.Second
	retry = 2 * time.Second
)

// IngressLease is the lease of who writes the status of Ingresses. Revisions side by side share it, since an
// Ingress belongs to no revision.
const IngressLease = "istio-ingress-leader"

// AuthorityLease is the lease of who keeps the root in the Secret of the CA, which all revisions share.
const AuthorityLease = "istio-ca-leader"

// leaseOf names the lease of a revision.
func leaseOf(revision string) string {
	if revision == "" || revision == "default" {
		return "istio-leader"
	}
	return "istio-leader-" + revision
}

// Run writes while this replica leads, until ctx ends.
func Run(ctx context.Context, opts Options) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return opts.elect(ctx, leaseOf(opts.Revision), cmp.Or(opts.Revision, "default"), func(ctx context.Context) {
			var status sync.WaitGroup
			defer status.Wait()
			if opts.Objects != nil {
				status.Go(func() { keepConditions(ctx, opts) })
			}
			if err := write(ctx, opts); err != nil && ctx.Err() == nil {
				opts.Logger.Error("the leader cannot write", "error", err)
			}
		})
	})
	if opts.Root != nil {
		group.Go(func() error {
			return opts.elect(ctx, AuthorityLease, "", func(ctx context.Context) { keepRoot(ctx, opts) })
		})
	}
	if opts.Mesh != nil {
		group.Go(func() error {
			return opts.elect(ctx, IngressLease, "", func(ctx context.Context) { keepIngresses(ctx, opts) })
		})
	}
	return group.Wait()
}

// elect leads whenever this replica holds a lease, until ctx ends. The lease is labelled, so that it is found when
// its revision goes, or, where revision is empty, the mesh.
func (o *Options) elect(ctx context.Context, name, revision string, lead func(context.Context)) error {
	labels := map[string]string{labelManagedBy: ManagedBy}
	if revision != "" {
		labels[label.IoIstioRev.Name] = revision
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Name: name, Namespace: o.Namespace}, Client: o.Client.CoordinationV1(), Labels: labels,
		LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
	}
	for ctx.Err() == nil { // it returns when the lease is lost
		if err := o.hold(ctx, lock, lead); err != nil {
			return err
		}
	}
	return nil
}

// hold leads once, while this replica holds the lease. It gives the lease up, and returns, when lead has: client-go
// waits for neither, and the next leader would write while this one still does.
func (o *Options) hold(ctx context.Context, lock *resourcelock.LeaseLock, lead func(context.Context)) error {
	held, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	turn := make(chan struct{}, 1) // has a token while lead runs, and after the last time that it may
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: lease, RenewDeadline: renew, RetryPeriod: retry, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				leading, end := context.WithCancel(leading)
				defer end()
				defer context.AfterFunc(ctx, end)()
				select {
				case turn <- struct{}{}:
					defer func() { <-turn }()
				case <-leading.Done():
				}
				if leading.Err() != nil {
					return
				}
				o.Logger.Info("this replica leads", "lease", lock.LeaseMeta.Name)
				lead(leading)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	goesOn := context.AfterFunc(ctx, func() {
		defer close(ended)
		turn <- struct{}{}
		giveUp()
	})
	elector.Run(held)
	if goesOn() { // the lease was lost
		turn <- struct{}{}
		return nil
	}
	<-ended
	return nil
}
