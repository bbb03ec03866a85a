package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	root = "../.."
	// whole bounds the test, which takes a tenth of it; it ends before go test's own time, which would leave the
	// cluster behind.
	whole = 25 * time.Minute
)

// world is a running cluster as a test sees it.
type world struct {
	*testing.T
	info   Info
	config *rest.Config
	client *kubernetes.Clientset
	mesh   *install.Cluster
	starts []starting // of API servers that took another's place

	mu       sync.Mutex
	failures []string // why the test failed so far
}

// start runs a cluster for the test.
func start(t *testing.T, nodes int) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("running a cluster needs root")
	}
	images, err := filepath.Glob(root + "/.images/*.tar")
	if err != nil || len(images) == 0 {
		t.Fatal("no images: run `make images`")
	}
	programs, err := filepath.Abs(root + "/.tools/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // which ends before what is cleaned up is told of
	ready, done := make(chan Info, 1), make(chan error, 1)
	go func() {
		done <- Up(ctx, Config{
			Name: "test", StateRoot: "/run/pilothouse-test", Nodes: nodes, Programs: programs, Images: images, PodsFirst: true,
		}, func(i Info) { ready <- i })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w := &world{T: t}
	select {
	case w.info = <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	if w.config, err = clientcmd.BuildConfigFromFlags("", w.info.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	w.config.QPS = -1
	if w.client, err = kubernetes.NewForConfig(w.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // while the cluster is there
		if t.Failed() {
			w.explain(ctx)
		}
	})
	if w.mesh, err = install.Open(w.config, func(line string) { t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	return w
}

// until waits for a fact of the cluster.
func (w *world) until(ctx context.Context, what string, done func(context.Context) (bool, error)) {
	w.Helper()
	if err := poll(ctx, what, done); err != nil {
		w.Fatal(err)
	}
}

func TestBookinfoInACluster(t *testing.T) {
	w := start(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), whole)
	defer cancel()
	w.somebodysNamespace(ctx)
	w.somebodysDefinition(ctx)
	before, err := w.objects(ctx)
	if err != nil {
		w.Fatal(err)
	}
	w.run(ctx, "install", "-y")
	if said := w.run(ctx, "verify-install"); !strings.Contains(said, "are there and ready") {
		w.Errorf("verify-install: %s", said)
	}
	w.kubectl(ctx, "", "label", "namespace", "default", "istio-injection=enabled")
	for _, file := range []string{"bookinfo.yaml", "bookinfo-gateway.yaml", "destination-rule-all.yaml", "networking/peer-authentication-strict.yaml"} {
		w.kubectl(ctx, w.sample(file), "apply", "-f", "-")
	}
	w.kubectl(ctx, "", "wait", "--for=condition=Available", "deployments", "--all", "--timeout="+patience.String())
	w.kindsAreShown(ctx)
	w.until(ctx, "bookinfo's pods", func(ctx context.Context) (bool, error) {
		return podsReady(ctx, w.client, "default", 6)
	})
	pods, err := w.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, p := range pods.Items {
		native := false
		for _, c := range p.Spec.InitContainers {
			native = native || c.Name == model.ProxyContainer && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
		if !native {
			w.Errorf("%s has no native sidecar: %v", p.Name, p.Annotations)
		}
	}
	gateway, err := w.client.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	address := "http://" + gateway.Spec.ClusterIP
	w.until(ctx, "the page", func(ctx context.Context) (bool, error) {
		err := page(ctx, address+"/productpage")
		return err == nil, err
	})
	w.trafficIsShifted(ctx, address+"/productpage")
	w.plaintextIsRefused(ctx)
	w.invalidIsRefused(ctx)
	w.statusTellsProblems(ctx)
	w.ingressIsServed(ctx)
	w.toolsReachProxies(ctx)
	w.pageIsServed(ctx)
	w.requestsAreTold(ctx, address+"/productpage")
	w.namesComplete(ctx)
	w.metricsAreScraped(ctx, address+"/productpage")
	w.secretsAreForWhoMayReadThem(ctx)
	w.authorityStays(ctx)
	w.offlineIsTheSame(ctx)
	w.rootIsRotated(ctx, address+"/productpage")
	w.podsComeInCrowds(ctx)
	w.replicasDie(ctx)
	w.upgrades(ctx)
	w.nothingWasDenied()
	w.scrapersRightsAreUsed()
	w.grantsAreUsed(ctx)
	w.sideBySide(ctx)
	w.leavesNothing(ctx, before)
	w.elsewhere(ctx)
	w.isAs(ctx, before)
}

// plaintextIsRefused shows that the page came over mutual TLS: without it nobody is let in.
func (w *world) plaintextIsRefused(ctx context.Context) {
	w.Helper()
	pods, err := w.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=productpage"})
	if err != nil || len(pods.Items) == 0 {
		w.Fatalf("productpage: %v", err)
	}
	if body, err := fetch(ctx, "http://"+pods.Items[0].Status.PodIP+":9080/productpage"); err == nil {
		w.Errorf("the page came in plain text: %.100s", body)
	}
}

// invalidIsRefused shows that the API server asks the validation webhook.
func (w *world) invalidIsRefused(ctx context.Context) {
	w.Helper()
	out, err := w.asks(ctx, routes("wrong", "{name: nowhere}"), "apply", "-f", "-")
	if err == nil || !strings.Contains(out, "http[0]") {
		w.Errorf("an invalid VirtualService: %v: %s", err, out)
	}
}
