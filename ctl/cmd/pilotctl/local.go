package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// localMesh is a running mesh on this machine.
type localMesh struct {
	*localnode.Mesh
	http *http.Client
}

// answerTimeout bounds one question to control plane or proxy.
const answerTimeout = 20 * time.Second

func (o *options) open() (*localMesh, error) {
	m, err := localnode.Open(o.stateRoot, o.name)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) { return m.Dial(ctx, network, addr) }
	return &localMesh{m, &http.Client{Timeout: answerTimeout, Transport: &http.Transport{DialContext: dial}}}, nil
}

func (m *localMesh) close() { m.http.CloseIdleConnections() }

// resolve gives POD.NAMESPACE of what a user calls a pod: its name, with or without a namespace,
// or the name of a Deployment with one pod.
func (m *localMesh) resolve(ctx context.Context, pod string) (string, error) {
	p, err := m.find(ctx, pod)
	if err != nil {
		return "", err
	}
	return p.Name + "." + p.Namespace, nil
}

func (m *localMesh) find(_ context.Context, pod string) (*corev1.Pod, error) { return m.Pod(pod) }

func (m *localMesh) logs(ctx context.Context, pod, container string, opts localnode.LogOptions, w io.Writer) error {
	return m.Logs(ctx, pod, container, opts, w)
}

// manifests implements reached by the files that the objects stand in.
func (m *localMesh) manifests(_ context.Context, of []analyze.Finding) []analyze.File {
	var out []analyze.File
	read := map[string]bool{"": true}
	for _, f := range of {
		name := f.Origin.File
		if read[name] {
			continue
		}
		read[name] = true
		if data, err := file.Load(name); err == nil {
			out = append(out, analyze.File{Name: name, Data: data})
		}
	}
	return out
}

// controlAddress is where the control plane has its pages, inside the mesh.
const controlAddress = "127.0.0.1:15014"

// control asks the control plane; its debug pages are open to the machine that it runs on.
func (m *localMesh) control(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+controlAddress+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the control plane does not answer (its log is %s): %w", m.DiscoveryLog(), err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, notOK("control plane", resp, data)
	}
	return data, nil
}

// lists implements reached: there is one control plane.
func (m *localMesh) lists(ctx context.Context, path string) (all []json.RawMessage, silent []error, err error) {
	data, err := m.control(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, nil, fmt.Errorf("the control plane's answer to %s is not a list: %w", path, err)
	}
	return all, nil, nil
}

// page implements reached: the pages are open to the network namespace of the control plane.
func (m *localMesh) page(context.Context) (http.RoundTripper, string, func(), error) {
	return m.http.Transport, controlAddress, func() {}, nil
}

// admin asks the Envoy of a pod, by the agent beside it.
func (m *localMesh) admin(ctx context.Context, pod, method, path string) ([]byte, error) {
	pod, err := m.resolve(ctx, pod)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var out, problem bytes.Buffer
	code, err := m.Exec(ctx, pod, "istio-proxy", []string{"/usr/local/bin/pilot-agent", "request", method, path},
		localnode.Streams{Out: &out, Err: &problem}, false)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("the proxy of %s: %s", pod, strings.TrimSpace(problem.String()))
	}
	return out.Bytes(), nil
}

func newDown(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Take a mesh down, also one whose `up` was killed", Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := localnode.Down(cmd.Context(), o.stateRoot, o.name); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.ErrOrStderr(), "mesh %s is down\n", o.name)
			return err
		},
	}
}

func newExec(o *options) *cobra.Command {
	var (
		container, namespace string
		stdin, tty           bool
	)
	cmd := &cobra.Command{
		Use: "exec POD[.NAMESPACE] [-c CONTAINER] -- COMMAND [ARG...]", Short: "Run a command in a pod",
		Annotations:       map[string]string{exitsWith: "else the command's own"},
		ValidArgsFunction: o.completePods,
		Args:              usage.Args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := o.open()
			if errors.Is(err, localnode.ErrNoMesh) {
				return fmt.Errorf("%w; in a cluster, kubectl exec does this", err)
			}
			if err != nil {
				return err
			}
			defer m.close()
			pod, err := m.resolve(cmd.Context(), qualified(args[0], namespace))
			if err != nil {
				return err
			}
			s := localnode.Streams{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
			if stdin {
				s.In = os.Stdin
			}
			code, err := m.Exec(cmd.Context(), pod, container, args[1:], s, tty)
			if err != nil {
				return err
			}
			if code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&container, "container", "c", "", "container; the pod's default one if empty")
	completion(cmd, "container", o.completeContainers)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the pod")
	cmd.Flags().BoolVarP(&stdin, "stdin", "i", false, "pass standard input on")
	cmd.Flags().BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	return cmd
}
