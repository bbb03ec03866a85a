package incluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Roots are those of the CA.
type Roots interface {
	// RootPEM gives the present ones, CRL what they have revoked, in PEM; nil for no list.
	RootPEM() []byte
	CRL() []byte
	// Changed gives a channel that is closed when they are others. It is taken before they are read.
	Changed() <-chan struct{}
}

// Options of what a control plane writes.
type Options struct {
	Client    kubernetes.Interface
	Namespace string // of the control plane
	Revision  string // "" for the default one
	Identity  string // of this replica
	Roots     Roots
	// Dynamic, Objects and Problems are for the status of objects; nil for none.
	Dynamic  dynamic.Interface
	Objects  Objects
	Problems Problems
	Logger   *slog.Logger
}

// The times of the lease: another replica leads after lease at the latest.
const (
	lease = 15 * time.Second
	renew = 10 * time.Second
	retry = 2 * time.Second
)

// Run writes while this replica leads, until ctx ends.
func Run(ctx context.Context, opts Options) error {
	name := "istio-leader"
	if opts.Revision != "" && opts.Revision != "default" {
		name += "-" + opts.Revision
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Name: name, Namespace: opts.Namespace}, Client: opts.Client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: opts.Identity},
	}
	for ctx.Err() == nil { // RunOrDie returns when the lease is lost
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: lease, RenewDeadline: renew, RetryPeriod: retry, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					opts.Logger.Info("this replica leads", "lease", name)
					var status sync.WaitGroup
					defer status.Wait()
					if opts.Objects != nil {
						status.Go(func() { keepConditions(ctx, opts) })
					}
					if err := write(ctx, opts); err != nil && ctx.Err() == nil {
						opts.Logger.Error("the leader cannot write", "error", err)
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return err
		}
		elector.Run(ctx)
	}
	return nil
}
