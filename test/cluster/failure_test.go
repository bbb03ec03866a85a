package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// told bounds the ends of logs and the number of events that are told of a failure.
const (
	toldBytes  = 4000
	toldEvents = 60
)

// Error, Errorf, Fatal and Fatalf fail the test as those of testing.T do. What they say is said again after all that
// explain logs, because who reads a long log, or only its end, looks there.
func (w *world) Error(args ...any) {
	w.Helper()
	w.fails(fmt.Sprint(args...))
	w.T.Error(args...)
}

func (w *world) Errorf(format string, args ...any) {
	w.Helper()
	w.fails(fmt.Sprintf(format, args...))
	w.T.Errorf(format, args...)
}

func (w *world) Fatal(args ...any) {
	w.Helper()
	w.fails(fmt.Sprint(args...))
	w.T.Fatal(args...)
}

func (w *world) Fatalf(format string, args ...any) {
	w.Helper()
	w.fails(fmt.Sprintf(format, args...))
	w.T.Fatalf(format, args...)
}

// fails keeps why the test fails, and who of this package says so.
func (w *world) fails(why string) {
	_, file, line, _ := runtime.Caller(2)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf("%s:%d: %s", filepath.Base(file), line, why))
}

// explain logs what the cluster was like when the test failed, for whoever has only its log: pods, the last
// events, and the ends of the logs of pods and of Kubernetes' programs.
func (w *world) explain(ctx context.Context) {
	w.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // of an API server that may answer nobody
	defer cancel()
	w.dump(ctx)
	events, err := w.client.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Log(err)
	} else {
		slices.SortFunc(events.Items, func(a, b corev1.Event) int { return at(&a).Compare(at(&b)) })
		for _, e := range events.Items[max(0, len(events.Items)-toldEvents):] {
			w.Logf("event %s %s %s/%s %s: %s", at(&e).Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	logs, err := filepath.Glob(filepath.Join(w.info.Dir, "*.log"))
	if err != nil {
		w.Log(err)
	}
	of, err := filepath.Glob(filepath.Join(w.info.Dir, "logs", "istio-system_*", "*", "*.log"))
	if err != nil {
		w.Log(err)
	}
	for _, file := range append(logs, of...) {
		if filepath.Base(file) == "audit.log" {
			continue
		}
		end, err := endOf(file)
		w.Logf("the end of %s (%v):\n%s", file, err, end)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Logf("why the test failed:\n%s", strings.Join(w.failures, "\n"))
}

// at is when something happened last.
func at(e *corev1.Event) time.Time {
	if e.LastTimestamp.IsZero() {
		return e.EventTime.Time
	}
	return e.LastTimestamp.Time
}

// dump logs the state of the pods.
func (w *world) dump(ctx context.Context) {
	w.Helper()
	pods, err := w.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Log(err)
		return
	}
	for _, p := range pods.Items[:min(len(pods.Items), toldEvents)] {
		line := fmt.Sprintf("pod %s/%s %s, ready %t", p.Namespace, p.Name, p.Status.Phase, ready(&p))
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			line += fmt.Sprintf("; %s: ready %t, %d restarts", c.Name, c.Ready, c.RestartCount)
			if s := c.State.Waiting; s != nil {
				line += fmt.Sprintf(", waits: %s %s", s.Reason, s.Message)
			}
			if s := c.State.Terminated; s != nil {
				line += fmt.Sprintf(", ended %d: %s %s", s.ExitCode, s.Reason, s.Message)
			}
		}
		w.Log(line)
	}
}

// endOf gives the last lines of a file.
func endOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(0, info.Size()-toldBytes)
	end := make([]byte, info.Size()-from)
	n, err := f.ReadAt(end, from)
	end = end[:n]
	if _, whole, cut := bytes.Cut(end, []byte("\n")); cut && from > 0 {
		end = whole
	}
	return string(end), err
}
