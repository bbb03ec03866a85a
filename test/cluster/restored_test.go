package cluster

import (
	"context"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// etcdIsRestored has etcd go back to a backup under load. Traffic is as at the time of the backup again, although no
// event says so, and what is written from then on takes effect, although its versions are such as were seen before.
func (w *world) etcdIsRestored(ctx context.Context, l *load) {
	w.Helper()
	url := w.gatewayPod(ctx) + "/productpage"
	l.meanwhile("etcd is backed up")
	w.shift(ctx, url, map[string]int{"v1": 100})
	if err := w.info.Backup(); err != nil {
		w.Fatal(err)
	}
	w.shift(ctx, url, map[string]int{"v3": 100})
	w.kubectl(ctx, routes("later", weighted(map[string]int{"v2": 100})), "apply", "-f", "-")
	w.muchIsWritten(ctx)
	seen := w.version(ctx)
	l.meanwhile("etcd is restored")
	gone := time.Now()
	if err := w.info.Restore(ctx); err != nil {
		w.Fatal(err)
	}
	back := time.Now()
	w.starts = append(w.starts, starting{gone, back})
	restored := w.version(ctx)
	if restored >= seen {
		w.Errorf("the API server is at version %d after it was restored, and was at %d", restored, seen)
	}
	w.versions(ctx, url, []string{"v1"})
	w.Logf("etcd went back from version %d to %d; the routes of then were in effect %v after the API server was back", seen, restored, time.Since(back).Round(time.Millisecond))
	l.meanwhile("etcd was restored")
	w.shift(ctx, url, map[string]int{"v2": 100})
	w.injectedBy(ctx, "default", "restored", "default")
	w.until(ctx, "a pod after the restore", func(ctx context.Context) (bool, error) { return podsReady(ctx, w.client, "default", 8) })
	w.kubectl(ctx, "", "delete", "virtualservice", "reviews")
	w.versions(ctx, url, []string{"v1", "v2", "v3"})
	w.kubectl(ctx, "", "delete", "pod", "restored", "--now")
}

// muchIsWritten takes the API server so far that it is behind that for a while when it was restored: who comes back to it
// later than that cannot know of it.
func (w *world) muchIsWritten(ctx context.Context) {
	w.Helper()
	maps := w.client.CoreV1().ConfigMaps("default")
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "much"}}, metav1.CreateOptions{})
	for i := 0; i < 500 && err == nil; i++ {
		made.Data = map[string]string{"writes": strconv.Itoa(i)}
		made, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// version is how far the API server is.
func (w *world) version(ctx context.Context) int {
	w.Helper()
	list, err := w.client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	version, err := strconv.Atoi(list.ResourceVersion)
	if err != nil {
		w.Fatal(err)
	}
	return version
}
