package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// away is how long the API server answers nobody; longer than the leader's lease.
const away = 20 * time.Second

// replicasDie runs two replicas of the control plane, kills each without a warning, and has the API server
// answer nobody for longer than the lease lasts: no request of a page fails, and new pods come up afterwards.
func (w *world) replicasDie(ctx context.Context, url string) {
	w.Helper()
	w.scale(ctx, 2)
	former := w.replicas(ctx, 2, nil)
	loading, stop := context.WithCancel(ctx)
	pages, failed := 0, []error(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for loading.Err() == nil {
			if _, err := fetch(ctx, url); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", time.Now().Format(time.TimeOnly), err))
			}
			pages++
		}
	}()
	end := func() { stop(); <-done }
	defer end()
	now := int64(0)
	for _, name := range former {
		if err := w.client.CoreV1().Pods("istio-system").Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			w.Fatal(err)
		}
		w.replicas(ctx, 2, former[:slices.Index(former, name)+1])
	}
	w.withoutAPI(away)
	pods, err := w.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=details"})
	if err != nil || len(pods.Items) != 1 {
		w.Fatalf("details: %v", err)
	}
	end()
	if pages == 0 || len(failed) > 0 {
		w.Errorf("%d of %d pages failed: %v", len(failed), pages, failed)
	}
	if err := w.client.CoreV1().Pods("default").Delete(ctx, pods.Items[0].Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "a new pod", func(ctx context.Context) (bool, error) {
		found, err := w.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=details"})
		if err != nil || len(found.Items) != 1 || found.Items[0].Name == pods.Items[0].Name {
			return false, err
		}
		return ready(&found.Items[0]), fmt.Errorf("%v", found.Items[0].Status.ContainerStatuses)
	})
	w.scale(ctx, 1)
	w.replicas(ctx, 1, nil)
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

// withoutAPI has the API server stand still for a time.
func (w *world) withoutAPI(long time.Duration) {
	w.Helper()
	pid := w.process("kube-apiserver")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		w.Fatal(err)
	}
	time.Sleep(long) // it is the fault itself
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		w.Fatal(err)
	}
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
