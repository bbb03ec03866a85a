package cluster

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

const (
	apiPort = 6443
	// patience bounds each wait; a busy machine takes long.
	patience = 5 * time.Minute
	domain   = "cluster.local"
)

// startControl starts etcd, the API server, the controllers and the scheduler on the first node,
// and waits until the API server is ready.
func (c *cluster) startControl(ctx context.Context) error {
	n := c.first()
	if err := c.writeKeys(); err != nil {
		return err
	}
	err := c.procs.start(n, c.program("etcd"), "--data-dir="+c.data(),
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380", "--unsafe-no-fsync")
	if err != nil {
		return err
	}
	if err := c.procs.start(n, c.program("kube-apiserver"), c.apiServerFlags()...); err != nil {
		return err
	}
	if err := c.waitAPI(ctx); err != nil {
		return err
	}
	err = c.procs.start(n, c.program("kube-controller-manager"), "--kubeconfig="+n.dir.Path("controllers.kubeconfig"),
		"--service-account-private-key-file="+n.dir.Path("sa.key"), "--root-ca-file="+n.dir.Path("ca.crt"),
		"--use-service-account-credentials", "--leader-elect=false", "--secure-port=0",
		"--node-monitor-grace-period=30s", "--controllers="+c.controllers())
	if err != nil || c.cfg.Bare {
		return err
	}
	return c.procs.start(n, c.program("kube-scheduler"), "--kubeconfig="+n.dir.Path("scheduler.kubeconfig"),
		"--leader-elect=false", "--secure-port=0")
}

func (c *cluster) apiServerFlags() []string {
	d := c.first().dir
	return []string{
		"--etcd-servers=http://127.0.0.1:2379", fmt.Sprintf("--secure-port=%d", apiPort),
		"--advertise-address=" + c.first().ip.String(), "--service-cluster-ip-range=" + c.plan.Services.String(),
		"--client-ca-file=" + d.Path("ca.crt"),
		"--tls-cert-file=" + d.Path("apiserver.crt"), "--tls-private-key-file=" + d.Path("apiserver.key"),
		"--kubelet-client-certificate=" + d.Path("apiserver.crt"), "--kubelet-client-key=" + d.Path("apiserver.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + domain,
		"--service-account-key-file=" + d.Path("sa.key"), "--service-account-signing-key-file=" + d.Path("sa.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--enable-aggregator-routing=true", "--allow-privileged=true", "--profiling=false",
		"--audit-log-path=" + d.Path("audit.log"), "--audit-policy-file=" + d.Path("audit-policy.yaml"),
		"--audit-log-mode=batch",
	}
}

// auditPolicy records who asked for what, of the mesh's own programs only.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:istio-system", "system:serviceaccounts:mesh"]
- level: None
`

// writeKeys makes the certificates and the kubeconfigs of all programs.
func (c *cluster) writeKeys() error {
	p, err := newPKI()
	if err != nil {
		return err
	}
	d := c.first().dir
	server, serverKey, err := p.issue("kube-apiserver", []string{"system:masters"},
		c.first().ip.String(), c.plan.apiAddress().String(), "127.0.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc."+domain)
	if err != nil {
		return err
	}
	signer, err := serviceAccountKey()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"ca.crt": p.pem(), "apiserver.crt": server, "apiserver.key": serverKey, "sa.key": signer,
		"audit-policy.yaml": []byte(auditPolicy), "resolv.conf": {},
	} {
		if err := state.WriteFile(d.Path(name), data); err != nil {
			return err
		}
	}
	for _, u := range []struct{ file, user, group string }{
		{"kubeconfig", "admin", "system:masters"},
		{"controllers.kubeconfig", "system:kube-controller-manager", ""},
		{"scheduler.kubeconfig", "system:kube-scheduler", ""},
		{"proxy.kubeconfig", "system:kube-proxy", ""},
	} {
		if err := c.kubeconfig(d.Path(u.file), p, u.user, u.group); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := c.kubeconfig(n.dir.Path("kubelet.kubeconfig"), p, "system:node:"+n.name, "system:nodes"); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.info().Kubeconfig)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// poll tries until done or the patience is at its end.
func poll(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (ok bool, _ error) {
		ok, err := done(ctx)
		if last == nil || ctx.Err() == nil { // that time was up says nothing of why
			last = err
		}
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w (%w)", what, err, last)
	}
	return nil
}

func (c *cluster) waitAPI(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return poll(ctx, "the API server", func(ctx context.Context) (bool, error) {
		var code int
		err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Error()
		return code == http.StatusOK, err
	})
}

// waitNodes waits until every node is ready, and pods can have tokens.
func (c *cluster) waitNodes(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		err := poll(ctx, n.name, func(ctx context.Context) (bool, error) {
			node, err := client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			for _, cond := range node.Status.Conditions {
				if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0 {
					return true, nil
				}
			}
			return false, fmt.Errorf("conditions %v, taints %v", node.Status.Conditions, node.Spec.Taints)
		})
		if err != nil {
			return err
		}
	}
	return poll(ctx, "the default service account", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
}
