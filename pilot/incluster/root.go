package incluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Peer is another control plane that signs by the same CA.
type Peer struct{ Name, Address string }

// Peers are all of them, of this revision and of others.
type Peers interface {
	Peers(ctx context.Context) ([]Peer, error)
	// Roots gives what one of them knows of the roots that its proxies have.
	Roots(ctx context.Context, p Peer) (ca.Heard, error)
}

// RootOptions are for a self-signed root in the Secret istio-ca-secret.
type RootOptions struct {
	Authority ca.Options
	// Own gives what this replica knows of the roots that its proxies have.
	Own   func() ca.Heard
	Peers Peers
	// Delivery is how long a kubelet may take until pods see a ConfigMap that has changed; DefaultDelivery when zero.
	Delivery time.Duration
}

// DefaultDelivery is more than a kubelet takes by default: it looks at a pod each minute and up to half of one more, and
// hears of ConfigMaps by a watch.
const DefaultDelivery = 2 * time.Minute

// keepEvery is how often the leader looks at the root.
const keepEvery = 2 * time.Second

// keepRoot takes the steps of the root's rotation, and renews it before it ends, until ctx ends. All that has to be
// known of a rotation is in the Secret, so that the next leader goes on.
func keepRoot(ctx context.Context, opts Options) {
	known, wait := AuthorityOptions{Client: opts.Client, Namespace: opts.Namespace, Logger: opts.Logger}.followed(ctx)
	defer wait()
	of := opts.Root.Authority
	of.Dir, of.Files, of.Own = "", nil, true
	rotation := ca.NewRotation(ca.RotationOptions{
		Options: of, Store: &secretStore{AuthorityOptions: known, plugged: opts.Roots.Plugged}, Proxies: opts.Root.heard, Logger: opts.Logger,
		Delivery: cmp.Or(opts.Root.Delivery, DefaultDelivery),
	})
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := rotation.Look(ctx)
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != "" && now != said && ctx.Err() == nil { // once, and not at each look
			opts.Logger.Warn("the root is not kept", "error", err)
		}
		said = now
	}
}

// heard asks all control planes that sign by the CA at once what they know. One that does not say is among them.
func (o *RootOptions) heard(ctx context.Context) []ca.Heard {
	peers, err := o.Peers.Peers(ctx)
	if err != nil {
		return []ca.Heard{o.Own(), {Replica: "others", Silent: fmt.Sprintf("they are not known: %v", err)}}
	}
	out := make([]ca.Heard, len(peers)+1)
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			asking, cancel := context.WithTimeout(ctx, hearTimeout)
			defer cancel()
			heard, err := o.Peers.Roots(asking, p)
			if err != nil {
				heard = ca.Heard{Silent: fmt.Sprintf("it does not say what its proxies have: %v", err)}
			}
			heard.Replica = p.Name
			out[i] = heard
		})
	}
	out[len(peers)] = o.Own()
	all.Wait()
	return append(out, withoutWriter(out)...)
}

// withoutWriter gives a silent leader for each revision of which no replica writes the roots: each has webhooks of its
// own.
func withoutWriter(heard []ca.Heard) []ca.Heard {
	writes := map[string]bool{}
	for _, h := range heard {
		if h.Silent == "" { // else it holds up all by itself
			service := ServiceName(h.Revision)
			writes[service] = writes[service] || h.Written != nil
		}
	}
	var out []ca.Heard
	for _, service := range slices.Sorted(maps.Keys(writes)) {
		if !writes[service] {
			out = append(out, ca.Heard{Replica: "leader of " + service, Silent: "there is none at the moment that writes the roots into namespaces and webhooks"})
		}
	}
	return out
}

// secretStore is the Secret of a CA that was made here.
type secretStore struct {
	AuthorityOptions
	plugged func() bool    // tells whether this replica has another CA
	read    *corev1.Secret // by Read; nobody changes it
}

// Read gives the files of the Secret; nil where there is none, or another one has the CA of the mesh.
func (s *secretStore) Read(ctx context.Context) (map[string][]byte, error) {
	if s.plugged() {
		return nil, nil
	}
	plugged, err := s.secret(ctx, PluggedSecret)
	if err != nil || plugged != nil || s.mayBeReplaced(ctx, false) != nil {
		return nil, err
	}
	found, err := s.secret(ctx, OwnSecret)
	if err != nil || found == nil {
		return nil, err
	}
	s.read = found
	return found.Data, nil
}

// Write writes all at once, where nobody else has written since, and the cache was not behind.
func (s *secretStore) Write(ctx context.Context, changes []ca.Change) error {
	next := s.read.DeepCopy()
	for _, c := range changes {
		if c.Data == nil {
			delete(next.Data, c.Name)
		} else {
			next.Data[c.Name] = c.Data
		}
	}
	if _, err := s.Client.CoreV1().Secrets(s.Namespace).Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", s.Namespace, OwnSecret, err)
	}
	return nil
}
