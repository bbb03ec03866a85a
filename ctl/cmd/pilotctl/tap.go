package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	agenttap "github.com/pilothouse-mesh/pilothouse/agent/tap"
	"github.com/pilothouse-mesh/pilothouse/ctl/tap"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// maxTapped is how many pods are watched at a time.
const maxTapped = 20

// tapOptions are the flags of tap.
type tapOptions struct {
	place
	filter            tap.Filter
	namespace, output string
	most              int
	lasts             time.Duration

	mu      sync.Mutex
	printed int
}

func newTap(o *options) *cobra.Command {
	t := &tapOptions{place: place{options: o}}
	cmd := &cobra.Command{
		Use: "tap POD|SERVICE[.NAMESPACE]", Short: "Print the requests of a pod or a service as they end",
		Long: `Print the requests of a pod, or of the pods of a service, as they end: when one began, the pod, whether it
received or sent it, who called, where it went, method, URL, code and duration, and which route and
policy decided. What is not watched costs nothing, and watching changes no listener.`,
		Args: usage.Args(cobra.ExactArgs(1)), ValidArgsFunction: t.completePodsAndServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.filter.Check(); err != nil {
				return usageError(err)
			}
			if err := outputIs(t.output, "short", "json"); err != nil {
				return err
			}
			return t.run(cmd, qualified(args[0], t.namespace))
		},
	}
	cmd.Flags().StringVarP(&t.output, "output", "o", "short", "short, or json for an object on each line")
	completion(cmd, "output", words("short", "json"))
	cmd.Flags().StringVarP(&t.namespace, "namespace", "n", "default", "namespace of the pod or service")
	cmd.Flags().StringVar(&t.filter.Side, "direction", "", "in for what the pods receive, out for what they send")
	completion(cmd, "direction", words("in", "out"))
	cmd.Flags().StringVar(&t.filter.Method, "method", "", "only this method")
	completion(cmd, "method", words(methods()...))
	cmd.Flags().StringVar(&t.filter.Path, "path", "", "only paths that begin so")
	cmd.Flags().StringVar(&t.filter.Code, "code", "", "only this code, or a class as 5xx")
	completion(cmd, "code", words("2xx", "3xx", "4xx", "5xx"))
	cmd.Flags().IntVar(&t.most, "max", 0, "end after so many requests; 0 for no end")
	cmd.Flags().DurationVar(&t.lasts, "for", 0, "end after this time; 0 for no end")
	t.register(cmd)
	return cmd
}

// errEnough ends the watching.
var errEnough = errors.New("all requests that were asked for")

func (t *tapOptions) run(cmd *cobra.Command, name string) error {
	ctx := cmd.Context()
	if t.lasts > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.lasts)
		defer cancel()
	}
	m, err := t.reach()
	if err != nil {
		return err
	}
	defer m.close()
	pods, err := podsOf(ctx, m, name)
	if err != nil {
		return err
	}
	watching, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	errs := make([]error, len(pods))
	var group sync.WaitGroup
	for i, pod := range pods {
		group.Go(func() {
			errs[i] = t.watch(watching, cmd, m, pod)
			if errors.Is(errs[i], errEnough) {
				enough(errEnough)
			}
		})
	}
	group.Wait()
	if watching.Err() != nil { // it was ended: by the user, by time, or by number
		return nil
	}
	return errors.Join(errs...)
}

// watch prints the requests of one pod. The agent ends a stream after minutes, in case nobody reads it.
func (t *tapOptions) watch(ctx context.Context, cmd *cobra.Command, m reached, pod string) error {
	for {
		if err := t.stream(ctx, cmd, m, pod); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

func (t *tapOptions) stream(ctx context.Context, cmd *cobra.Command, m reached, pod string) error {
	stream, err := m.tap(ctx, pod)
	if err != nil {
		return fmt.Errorf("%s: %w", pod, err)
	}
	defer stream.Close()
	take := func(r tap.Request) error {
		if !t.filter.Matches(r) {
			return nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.most > 0 && t.printed == t.most {
			return errEnough
		}
		t.printed++
		printed := tap.PrintLine
		if t.output == "json" {
			printed = tap.PrintJSON
		}
		if err := printed(cmd.OutOrStdout(), r); err != nil {
			return err
		}
		if t.printed == t.most {
			return errEnough
		}
		return nil
	}
	left := func(n uint64) {
		fmt.Fprintf(cmd.ErrOrStderr(), "pilotctl: %s: %d messages were left out, since they came too fast\n", terminal.Text(pod), n)
	}
	return tap.Read(stream, pod, take, left)
}

// podsOf gives the pods that a name means: a pod, or those behind a service.
func podsOf(ctx context.Context, m reached, name string) ([]string, error) {
	pod, noPod := m.resolve(ctx, name)
	if noPod == nil {
		return []string{pod}, nil
	}
	namespace := name[strings.LastIndexByte(name, '.')+1:]
	data, err := m.control(ctx, "/debug/pilothouse/endpointz?namespace="+namespace)
	if err != nil {
		return nil, err
	}
	var services []struct {
		Service   string `json:"svc"`
		Endpoints []struct {
			Pod string `json:"pod"`
		} `json:"ep"`
	}
	if err := json.Unmarshal(data, &services); err != nil {
		return nil, fmt.Errorf("the control plane's answer is not a list of services: %w", err)
	}
	var pods []string
	for _, s := range services {
		if !strings.HasPrefix(s.Service, name+".svc.") {
			continue
		}
		for _, e := range s.Endpoints {
			if p := e.Pod + "." + namespace; e.Pod != "" && !slices.Contains(pods, p) {
				pods = append(pods, p)
			}
		}
	}
	switch {
	case len(pods) == 0:
		return nil, fmt.Errorf("%w, and no service of that name has pods", noPod)
	case len(pods) > maxTapped:
		return nil, fmt.Errorf("service %s has %d pods, at most %d are watched at a time: name one of them", name, len(pods), maxTapped)
	}
	return pods, nil
}

// tap implements reached by the agent's own program in the pod, which is on its loopback.
func (m *localMesh) tap(ctx context.Context, pod string) (io.ReadCloser, error) {
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var problem strings.Builder
		code, err := m.Exec(ctx, pod, "istio-proxy", []string{
			"/usr/local/bin/pilot-agent", "request", "GET", agenttap.Path, "--debug-port", fmt.Sprint(telemetry.StatusPort), "--timeout", "0",
		}, localnode.Streams{Out: in, Err: &problem}, false)
		if err == nil && code != 0 {
			err = errors.New(strings.TrimSpace(problem.String()))
		}
		_ = in.CloseWithError(err) // nil is the stream's end
	}()
	// The command in the pod has to end before this program does, or it would stay there.
	return &forwarded{out, func() { cancel(); <-ended }}, nil
}

// tap implements reached by a port-forward, which comes in on the pod's loopback.
func (m *clusterMesh) tap(ctx context.Context, name string) (io.ReadCloser, error) {
	pod, err := m.pod(ctx, name)
	if err != nil {
		return nil, err
	}
	return m.tapPod(ctx, pod)
}

func (m *clusterMesh) tapPod(ctx context.Context, pod *corev1.Pod) (io.ReadCloser, error) {
	local, stop, err := m.forward(ctx, pod, telemetry.StatusPort)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", local, agenttap.Path), nil)
	if err != nil {
		stop()
		return nil, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req) // without a limit in time
	if err != nil {
		stop()
		return nil, err
	}
	body := &forwarded{resp.Body, stop}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // the status says enough
		return nil, errors.Join(fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text))), body.Close())
	}
	return body, nil
}

// forwarded is an answer that came through something which ends with it, as a port-forward.
type forwarded struct {
	io.ReadCloser
	stop func()
}

func (f *forwarded) Close() error {
	err := f.ReadCloser.Close()
	f.stop()
	return err
}
