package cluster

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// away is how long the API server answers nobody.
var away = flag.Duration("away", time.Minute, "how long the API server answers nobody")

// replicasDie runs two replicas of the control plane under load, and has everything fail that they rely on: each
// is killed without a warning; the API server answers nobody for a minute; etcd is killed, and the node's kubelet
// stands still until the node counts as lost; etcd is restored from a backup. No request of a page fails, and new pods
// come up once the API server is back.
func (w *world) replicasDie(ctx context.Context) {
	w.Helper()
	w.scale(ctx, 2)
	former := w.replicas(ctx, 2, nil)
	l := loading(ctx, w.gatewayPod(ctx)+"/productpage")
	defer l.stop()
	now := int64(0)
	for _, name := range former {
		l.meanwhile("a replica is killed")
		if err := w.client.CoreV1().Pods("istio-system").Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			w.Fatal(err)
		}
		w.replicas(ctx, 2, former[:slices.Index(former, name)+1])
	}
	l.meanwhile("the API server is away")
	w.stands("kube-apiserver", func() { time.Sleep(*away) }) // it is the fault itself
	l.meanwhile("the API server is back")
	back := time.Now()
	w.injectedBy(ctx, "default", "late", "default")
	w.until(ctx, "a new pod", func(ctx context.Context) (bool, error) { return podsReady(ctx, w.client, "default", 7) })
	w.Logf("a new pod was ready %s after the API server was back", time.Since(back).Round(time.Millisecond))
	w.stands("kubelet", func() {
		l.meanwhile("etcd is restarted")
		if err := w.info.Restart("etcd"); err != nil {
			w.Fatal(err)
		}
		w.until(ctx, "etcd", func(ctx context.Context) (bool, error) {
			_, err := w.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "etcd"}}, metav1.CreateOptions{})
			return err == nil || apierrors.IsAlreadyExists(err), err
		})
		w.nodeIsLost(ctx)
		l.meanwhile("the node is lost")
		w.until(ctx, "pages of a lost node", func(context.Context) (bool, error) { return l.asked() > 50, fmt.Errorf("%d pages", l.asked()) })
	})
	l.meanwhile("the node is back")
	w.replicas(ctx, 2, nil)
	w.until(ctx, "the pods", func(ctx context.Context) (bool, error) { return podsReady(ctx, w.client, "default", 7) })
	w.etcdIsRestored(ctx, l)
	l.end(w)
	err := errors.Join(
		w.client.CoreV1().Pods("default").Delete(ctx, "late", metav1.DeleteOptions{GracePeriodSeconds: &now}),
		w.client.CoreV1().ConfigMaps("default").Delete(ctx, "etcd", metav1.DeleteOptions{}),
	)
	if err != nil {
		w.Error(err)
	}
	w.scale(ctx, 1)
	w.replicas(ctx, 1, nil)
}

// gatewayPod gives the address of the gateway's pod: its Service has no endpoints while the node is lost.
func (w *world) gatewayPod(ctx context.Context) string {
	w.Helper()
	pods, err := w.client.CoreV1().Pods("istio-system").List(ctx, metav1.ListOptions{LabelSelector: "istio=ingressgateway"})
	if err != nil || len(pods.Items) != 1 {
		w.Fatalf("the gateway's pod: %v", err)
	}
	return "http://" + pods.Items[0].Status.PodIP + ":8080"
}

// nodeIsLost waits until the controllers have taken every pod of the mesh out of service.
func (w *world) nodeIsLost(ctx context.Context) {
	w.Helper()
	w.until(ctx, "the node to be lost", func(ctx context.Context) (bool, error) {
		slices, err := w.client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name!=kubernetes"})
		if err != nil {
			return false, err
		}
		for _, slice := range slices.Items {
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					return false, fmt.Errorf("%s still has a ready endpoint", slice.Name)
				}
			}
		}
		return true, nil
	})
}

func (w *world) scale(ctx context.Context, replicas int) {
	w.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if _, err := w.client.AppsV1().Deployments("istio-system").Patch(ctx, "istiod", types.MergePatchType, patch, metav1.PatchOptions{}, "scale"); err != nil {
		w.Fatal(err)
	}
}

// replicas waits until so many replicas of the control plane are ready, and names them; those that were killed
// are none of them.
func (w *world) replicas(ctx context.Context, number int, killed []string) []string {
	w.Helper()
	var names []string
	w.until(ctx, "the replicas", func(ctx context.Context) (bool, error) {
		names = nil
		pods, err := w.client.CoreV1().Pods("istio-system").List(ctx, metav1.ListOptions{LabelSelector: "app=istiod,istio.io/rev=default"})
		if err != nil {
			return false, err
		}
		for _, p := range pods.Items {
			if ready(&p) && !slices.Contains(killed, p.Name) {
				names = append(names, p.Name)
			}
		}
		return len(names) == number && len(pods.Items) == number, fmt.Errorf("%d pods, ready %v", len(pods.Items), names)
	})
	return names
}

// stands has a program of the cluster stand still while f runs.
func (w *world) stands(program string, f func()) {
	w.Helper()
	pid := w.process(program)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		w.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			w.Error(err)
		}
	}()
	f()
}

// process finds a program of this cluster.
func (w *world) process(program string) int {
	w.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.Fatal(err)
	}
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err != nil { // it has ended
			continue
		}
		args := strings.Split(string(line), "\x00")
		if filepath.Base(args[0]) == program && bytes.Contains(line, []byte(w.info.Dir)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				w.Fatal(err)
			}
			return pid
		}
	}
	w.Fatalf("%s does not run", program)
	return 0
}
