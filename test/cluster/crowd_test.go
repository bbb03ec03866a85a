package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	promodel "github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// crowd is how many pods are created at once.
const crowd = 200

// podsComeInCrowds creates many pods at once: while the control plane is left alone, while one of its two
// replicas is replaced, and while its only one is. None is without a sidecar, and none is refused where a replica
// is there. Nobody runs them.
func (w *world) podsComeInCrowds(ctx context.Context) {
	w.Helper()
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "crowd", Labels: map[string]string{"istio-injection": "enabled"}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "the account of the pods", func(ctx context.Context) (bool, error) {
		_, err := w.client.CoreV1().ServiceAccounts("crowd").Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
	w.answersComeSoon(ctx)

	w.scale(ctx, 2)
	names := w.replicas(ctx, 2, nil)
	w.served(ctx, 2)
	if refused, _ := w.crowd(ctx, "two", func() { w.end(ctx, names[0]) }); len(refused) > 0 {
		w.Errorf("%d of %d pods were refused while one of two replicas ended: %v", len(refused), crowd, refused[0])
	}
	w.replicas(ctx, 2, names[:1])

	w.scale(ctx, 1)
	names = w.replicas(ctx, 1, nil)
	var ready time.Time
	refused, last := w.crowd(ctx, "one", func() {
		w.end(ctx, names[0])
		w.replicas(ctx, 1, names)
		ready = time.Now()
	})
	w.Logf("of %d pods %d were refused while the only replica was replaced; the last was there %v after it was ready again",
		crowd, len(refused), last.Sub(ready).Round(time.Millisecond))
	if err := w.client.CoreV1().Namespaces().Delete(ctx, "crowd", metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "the end of the crowd", func(ctx context.Context) (bool, error) {
		list, err := w.client.CoreV1().Pods("crowd").List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil && len(list.Items) == 0, err
	})
}

// served waits until so many replicas are endpoints of the control plane's Service.
func (w *world) served(ctx context.Context, replicas int) {
	w.Helper()
	w.until(ctx, "the endpoints of the control plane", func(ctx context.Context) (bool, error) {
		list, err := w.client.DiscoveryV1().EndpointSlices("istio-system").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=istiod"})
		if err != nil {
			return false, err
		}
		ready := 0
		for _, slice := range list.Items {
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready++
				}
			}
		}
		return ready == replicas, fmt.Errorf("%d are ready", ready)
	})
}

// crowd creates pods, each again until it is there, while something else happens in the midst of it. It gives
// why pods were refused the first time, and when the last was there.
func (w *world) crowd(ctx context.Context, name string, meanwhile func()) (refused []error, last time.Time) {
	w.Helper()
	trying, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	var mu sync.Mutex
	var pods sync.WaitGroup
	begun := make(chan struct{}, crowd)
	for i := range crowd {
		pods.Go(func() {
			err := w.stranger(trying, fmt.Sprintf("%s-%d", name, i))
			begun <- struct{}{}
			if err != nil {
				mu.Lock()
				refused = append(refused, err)
				mu.Unlock()
			}
			for err != nil && trying.Err() == nil {
				time.Sleep(time.Second) // as whoever creates pods tries again
				if err = w.stranger(trying, fmt.Sprintf("%s-%d", name, i)); apierrors.IsAlreadyExists(err) {
					err = nil
				}
			}
			mu.Lock()
			last = time.Now()
			mu.Unlock()
		})
	}
	for range crowd / 20 {
		<-begun
	}
	meanwhile()
	pods.Wait()
	list, err := w.client.CoreV1().Pods("crowd").List(ctx, metav1.ListOptions{LabelSelector: "crowd=" + name})
	if err != nil {
		w.Fatal(err)
	}
	without := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == model.ProxyContainer })
	})
	if len(without) > 0 || len(list.Items) != crowd {
		w.Errorf("%s: of %d pods %d have no sidecar", name, len(list.Items), len(without))
	}
	return refused, last
}

// stranger creates a pod that no scheduler knows of.
func (w *world) stranger(ctx context.Context, name string) error {
	now := int64(0)
	of, _, _ := strings.Cut(name, "-")
	_, err := w.client.CoreV1().Pods("crowd").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name, "crowd": of}},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody", TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{Name: "app", Image: "example.org/app:v1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}},
		},
	}, metav1.CreateOptions{})
	return err
}

// end tells a replica to end, as a rollout does.
func (w *world) end(ctx context.Context, pod string) {
	if err := w.client.CoreV1().Pods("istio-system").Delete(ctx, pod, metav1.DeleteOptions{}); err != nil {
		w.Error(err)
	}
}

const (
	// injectionWork is how much of a processor's time the control plane may take for a pod that is created: for the
	// answer about it and for what follows. Seen were 1.2 to 2.4 ms: 0.3 for the answer, and more for the handshake of
	// its connection, since an API server keeps 25.
	injectionWork = 5 * time.Millisecond
	// injectionTime is how soon 99 of 100 answers of the webhook have to come, with all that they wait for.
	injectionTime = 50 * time.Millisecond
)

// answersComeSoon asserts that of each crowd 99 of 100 answers come within the webhook's time: from a question to its
// written answer, with the waiting for others and for a processor, but without the time in which the question comes.
// What that leaves out is the API server's: it asks about all 200 at once, and each waits there for its processors,
// before it is sent and after it is answered, which no webhook can mend. What is left is the machine's, so pods have
// the processors before all else that runs on it (Config.PodsFirst). Twelve crowds beside the compilers and tests of
// others, at a load of 20 on two processors, had 2.5 to 10 ms. Without PodsFirst nine had 68 to 527 ms, counted from
// the last byte of a question.
func (w *world) answersComeSoon(ctx context.Context) {
	w.Helper()
	for i := range 3 {
		before, began := w.metrics(ctx), time.Now()
		refused, last := w.crowd(ctx, fmt.Sprintf("calm%d", i), func() {})
		if len(refused) > 0 {
			w.Errorf("%d of %d pods were refused at first: %v", len(refused), crowd, refused[0])
		}
		w.Logf("%d pods were there %v after they were asked for", crowd, last.Sub(began).Round(time.Millisecond))
		if took := w.injectionTimes(ctx, before); took.p99 > injectionTime {
			w.Errorf("of crowd %d 99 of 100 answers came within %v, not within %v", i, took.p99, injectionTime)
		}
	}
}

// metrics gives the metrics of the only replica.
func (w *world) metrics(ctx context.Context) map[string]*dto.MetricFamily {
	w.Helper()
	names := w.replicas(ctx, 1, nil)
	pod, err := w.client.CoreV1().Pods("istio-system").Get(ctx, names[0], metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	text, err := fetch(ctx, "http://"+pod.Status.PodIP+":15014/metrics")
	if err != nil {
		w.Fatal(err)
	}
	parser := expfmt.NewTextParser(promodel.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// times are those of many answers.
type times struct{ mean, p99 time.Duration }

// injectionTimes tells how long the webhook took for its answers, as it says itself, since metrics were as before. It
// asserts what processor's time the control plane took for them.
func (w *world) injectionTimes(ctx context.Context, before map[string]*dto.MetricFamily) times {
	w.Helper()
	now := w.metrics(ctx)
	took := w.times(before, now, "sidecar_injection_time_seconds")
	worked := w.times(before, now, "sidecar_injection_work_seconds")
	w.Logf("99 of 100 answers of the webhook came within %v, %v on average; worked out within %v, %v on average", took.p99, took.mean, worked.p99, worked.mean)
	const cpu = "process_cpu_seconds_total"
	each := seconds(now[cpu].GetMetric()[0].GetCounter().GetValue()-before[cpu].GetMetric()[0].GetCounter().GetValue()) / crowd
	w.Logf("processor's time of the control plane for each of them: %v", each.Round(10*time.Microsecond))
	if each > injectionWork {
		w.Errorf("the control plane took %v of a processor's time for each pod, more than %v", each, injectionWork)
	}
	return took
}

// times reads a histogram of the answers about a crowd.
func (w *world) times(before, now map[string]*dto.MetricFamily, name string) times {
	w.Helper()
	all, was := now[name].GetMetric()[0].GetHistogram(), before[name].GetMetric()[0].GetHistogram()
	count := all.GetSampleCount() - was.GetSampleCount()
	if count < crowd {
		w.Errorf("the webhook answered %d times, not %d", count, crowd)
	}
	out := times{mean: seconds((all.GetSampleSum() - was.GetSampleSum()) / float64(count)).Round(10 * time.Microsecond), p99: time.Hour}
	for i, b := range all.GetBucket() {
		if within := b.GetCumulativeCount() - was.GetBucket()[i].GetCumulativeCount(); float64(within) >= .99*float64(count) {
			out.p99 = seconds(min(b.GetUpperBound(), out.p99.Seconds())) // the last is infinite
			break
		}
	}
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
