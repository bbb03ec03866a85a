package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/machine"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/webhook"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// cluster is the cluster that the control plane serves.
type cluster struct {
	*plane
	client    kubeclient.Interface
	dynamic   *dynamic.DynamicClient
	namespace string
}

// openCluster gives nil for a mesh of files.
func (p *plane) openCluster() (*cluster, error) {
	if p.cfg.sourceName() != kubeSource {
		return nil, nil
	}
	client, err := kubeclient.New(p.cfg.Kube)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(p.cfg.Kube)
	p.access = incluster.NewSecretAccess(client.AuthorizationV1().SubjectAccessReviews(), p.cfg.Logger)
	return &cluster{p, client, objects, cmp.Or(p.cfg.Namespace, model.RootNamespace)}, err
}

// authority gives the CA: of a directory, of a Secret of the cluster, or one that lives in memory.
func (p *plane) authority(ctx context.Context, c *cluster) (*ca.Keeper, error) {
	opts := p.authorityOptions()
	if c != nil && opts.Dir == "" {
		var err error
		opts.Files, opts.Own, err = incluster.Authority(ctx, c.secretOptions(), func() (map[string][]byte, error) { return ca.SelfSigned(opts) })
		if err != nil {
			return nil, err
		}
	}
	return p.keeperOf(opts, c)
}

// keeperOf gives the keeper of a CA. Of the self-signed root of a directory it takes the steps, as the only one that has it.
func (p *plane) keeperOf(opts ca.Options, c *cluster) (*ca.Keeper, error) {
	var keeper *ca.Keeper
	of := ca.KeeperOptions{Options: opts, Logger: p.cfg.Logger, Proxies: func(context.Context) []ca.Heard {
		return []ca.Heard{p.heardAlone(keeper, c != nil)}
	}}
	if c != nil {
		of.Delivery = c.delivery()
	}
	keeper, err := ca.NewKeeper(of)
	p.keeper.Store(keeper)
	return keeper, err
}

// delivery is how long a kubelet may take until pods see roots that were written.
func (c *cluster) delivery() time.Duration {
	return cmp.Or(c.cfg.RootDelivery, incluster.DefaultDelivery)
}

func (p *plane) authorityOptions() ca.Options {
	return ca.Options{
		Dir: p.cfg.CADir, TrustDomain: p.store.Snapshot().Mesh().GetTrustDomain(),
		DefaultTTL: p.cfg.DefaultCertTTL, MaxTTL: p.cfg.MaxCertTTL,
	}
}

func (c *cluster) secretOptions() incluster.AuthorityOptions {
	return incluster.AuthorityOptions{Client: c.client, Namespace: c.namespace, Logger: c.cfg.Logger}
}

// run serves the webhooks, and writes what the cluster has to have while this replica leads.
func (c *cluster) run(ctx context.Context, group *errgroup.Group, authority *ca.Keeper) {
	others := &replicas{c, authority}
	var root *incluster.RootOptions
	var stored *incluster.AuthorityOptions
	if c.cfg.CADir == "" {
		root = &incluster.RootOptions{Authority: c.authorityOptions(), Own: func() ca.Heard { return c.heard(authority) }, Peers: others, Delivery: c.delivery()}
		secrets := c.secretOptions()
		stored = &secrets
	}
	group.Go(func() error {
		return incluster.Run(ctx, incluster.Options{
			Client: c.client, Namespace: c.namespace, Revision: c.cfg.Revision,
			Identity: c.cfg.Name, Roots: authority, Stored: stored, Logger: c.cfg.Logger,
			Dynamic: c.dynamic, Objects: c.objects, Problems: c.board, Mesh: c.mesh,
			Replicas: others, Root: root, Written: c.noteWritten,
		})
	})
	group.Go(func() error {
		report := func(problems []model.Problem) { c.board.Report("secrets", problems) }
		return c.access.Run(ctx, c.needSecrets, c.decideSecrets, report)
	})
	if c.cfg.CADir == "" {
		group.Go(func() error {
			return incluster.FollowAuthority(ctx, c.secretOptions(), authority.Use)
		})
	}
	if c.cfg.HTTPSAddr != "" {
		c.unhooked.Store(true)
		group.Go(func() error { return c.serveWebhooks(ctx, group, authority) })
	}
}

// machineWriter writes the health and the registration of machines to the API server; nil for a mesh of files. What
// is wrong with the configuration of the client openCluster tells.
func (p *plane) machineWriter() machine.Write {
	if p.cfg.sourceName() != kubeSource {
		return nil
	}
	config := rest.CopyConfig(p.cfg.Kube)
	config.QPS = -1 // the registry bounds how many it writes at once, each entry at most once in a second
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil
	}
	return func(ctx context.Context, c machine.Change) error {
		switch r := c.Registration; {
		case r != nil && r.Claim != nil:
			return incluster.ClaimEntry(ctx, objects, r.Claim)
		case r != nil && r.Leave != nil:
			return incluster.LeaveEntry(ctx, objects, c.Key, r.Leave.Connected, r.Leave.Disconnected)
		case r != nil:
			return incluster.RemoveEntry(ctx, objects, c.Key, r.Remove)
		case c.Ask:
			return incluster.AskHealth(ctx, objects, c.Key, c.Since)
		case c.Status == nil:
			return incluster.RemoveHealth(ctx, objects, c.Key, c.Since)
		}
		return incluster.WriteHealth(ctx, objects, c.Key, incluster.Health{Healthy: c.Status.Healthy, Message: c.Status.Message, Probed: c.Status.Probed})
	}
}

// needSecrets lists the connected proxies of this cluster that Secrets are named for, or were when they came: what
// those of others may, its API server does not say.
func (c *cluster) needSecrets() []incluster.ConnectedProxy {
	var out []incluster.ConnectedProxy
	r := c.store.Snapshot().Reader(nil)
	for _, x := range c.xds.Connections() {
		namespace, name, proven := strings.Cut(x.Identity, "/")
		if proven && !x.Node.Proof.Foreign && (x.Node.Secrets || resolve.NeedsSecrets(r, &x.Node.Proxy)) {
			out = append(out, incluster.ConnectedProxy{
				ServiceAccount: incluster.ServiceAccount{Namespace: namespace, Name: name}, Secrets: x.Node.Secrets,
			})
		}
	}
	return out
}

// decideSecrets lets those come anew of an account's proxies that need Secrets and were told otherwise, or have some
// and may have none any more.
func (c *cluster) decideSecrets(of incluster.ServiceAccount, allowed bool) {
	r := c.store.Snapshot().Reader(nil)
	c.xds.End(xds.Identity{Namespace: of.Namespace, ServiceAccount: of.Name}, func(n *push.Node) bool {
		return n.Secrets != allowed && (n.Secrets || resolve.NeedsSecrets(r, &n.Proxy))
	})
}

// mayHaveSecrets tells whether a proxy of an identity may have Secrets of its namespace. Who serves files has put them
// there for them. What a service account of another cluster may, this one does not say. Sidecars are asked about only
// where a rule names Secrets for them: there are many, and few need any.
func (p *plane) mayHaveSecrets(ctx context.Context, id xds.Identity, node *push.Node) bool {
	if p.access == nil {
		return true
	}
	return !id.Foreign && resolve.NeedsSecrets(p.store.Snapshot().Reader(nil), &node.Proxy) && p.access.Allowed(ctx, incluster.ServiceAccount{Namespace: id.Namespace, Name: id.ServiceAccount})
}

// farewell is how long the webhooks go on answering when the control plane is told to end. The API server learns
// a moment later that this replica's address is no longer one of the Service's, and refuses what it cannot ask
// about.
const farewell = 5 * time.Second

func (c *cluster) serveWebhooks(ctx context.Context, group *errgroup.Group, authority *ca.Keeper) error {
	injectors := &injectors{cluster: c}
	if err := injectors.start(ctx, group); err != nil {
		return err
	}
	c.injectors.Store(injectors)
	l, err := net.Listen("tcp", c.cfg.HTTPSAddr)
	if err != nil {
		return oneSentence("--httpsAddr", c.cfg.HTTPSAddr, err)
	}
	c.unhooked.Store(false)
	server := newHTTPServer(webhook.Handler(webhook.Options{Injector: injectors.get, Registerer: c.registry, Logger: c.cfg.Logger}))
	server.TLSConfig = webhook.TLS(authority.ServerCertificate(c.cfg.serverNames()))
	group.Go(func() error {
		<-ctx.Done()
		time.Sleep(farewell)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return server.Close() // a review that does not end is cut off, which is no failure
		}
		return nil
	})
	if err := server.ServeTLS(c.connections.guard(l), "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the webhooks: %w", err)
	}
	return nil
}
