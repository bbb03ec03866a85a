package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// Ports in a pod that only the pod itself reaches, or that give it more.
const (
	adminPort = 15000 // of Envoy
	debugPort = 15014 // of the control plane
)

// clusterMesh is a mesh in a cluster. Its pods are reached through the API server.
type clusterMesh struct {
	config    *rest.Config
	client    kubernetes.Interface
	http      *http.Client
	namespace string // of the control plane
	revision  string // of which it is asked; "" for all
}

func openCluster(config *rest.Config, namespace string) (*clusterMesh, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &clusterMesh{config, client, &http.Client{Timeout: answerTimeout, Transport: &http.Transport{DisableKeepAlives: true}}, namespace, ""}, nil
}

func (m *clusterMesh) close() { m.http.CloseIdleConnections() }

// control asks all control planes, of which each knows the proxies that are connected to it. Lists are put
// together; of other answers the first counts.
func (m *clusterMesh) control(ctx context.Context, path string) ([]byte, error) {
	var all []json.RawMessage
	var first []byte
	_, err := m.each(ctx, path, func(data []byte) (more bool) {
		var list []json.RawMessage
		if json.Unmarshal(data, &list) != nil {
			first = data
			return false
		}
		all = append(all, list...)
		return true
	})
	if err != nil || first != nil {
		return first, err
	}
	return json.Marshal(all)
}

// lists implements reached: what each control plane says is told only by it.
func (m *clusterMesh) lists(ctx context.Context, path string) (all []json.RawMessage, silent []error, err error) {
	var wrong error
	silent, err = m.each(ctx, path, func(data []byte) (more bool) {
		var list []json.RawMessage
		wrong = json.Unmarshal(data, &list)
		all = append(all, list...)
		return wrong == nil
	})
	if err == nil && wrong != nil {
		err = fmt.Errorf("the control plane's answer to %s is not a list: %w", path, wrong)
	}
	return all, silent, err
}

// each asks the control planes one after the other, as long as more is wanted. It gives why some of them did not
// answer; that none did is an error.
func (m *clusterMesh) each(ctx context.Context, path string, take func([]byte) (more bool)) (silent []error, err error) {
	pods, err := m.controlPlanes(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		data, err := m.ask(ctx, &p, debugPort, http.MethodGet, path)
		if err != nil {
			silent = append(silent, err)
			continue
		}
		if !take(data) {
			return silent, nil
		}
	}
	if len(silent) == len(pods) {
		return silent, errors.Join(silent...)
	}
	return silent, nil
}

// controlPlanes gives the pods of the control plane, at least one.
func (m *clusterMesh) controlPlanes(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := m.client.CoreV1().Pods(m.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=istiod", FieldSelector: "status.phase=Running"})
	if err != nil {
		return nil, fmt.Errorf("list control planes: %w", err)
	}
	if m.revision != "" {
		pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return revisionOf(&p) != m.revision })
	}
	if len(pods.Items) == 0 {
		return nil, errors.New("no control plane runs in namespace " + m.namespace + "; -i names another one")
	}
	return pods.Items, nil
}

// page implements reached by a port-forward to one control plane, which knows the proxies that are connected
// to it.
func (m *clusterMesh) page(ctx context.Context) (http.RoundTripper, string, func(), error) {
	pods, err := m.controlPlanes(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	local, stop, err := m.forward(ctx, &pods[0], debugPort)
	if err != nil {
		return nil, "", nil, fmt.Errorf("port %d of %s: %w", debugPort, pods[0].Name, err)
	}
	return &http.Transport{}, fmt.Sprintf("127.0.0.1:%d", local), stop, nil
}

// resolve gives POD.NAMESPACE of what a user calls a pod: POD, POD.NAMESPACE, or a Deployment's name.
func (m *clusterMesh) resolve(ctx context.Context, pod string) (string, error) {
	p, err := m.pod(ctx, pod)
	if err != nil {
		return "", err
	}
	return p.Name + "." + p.Namespace, nil
}

func (m *clusterMesh) find(ctx context.Context, pod string) (*corev1.Pod, error) {
	return m.pod(ctx, pod)
}

// manifests implements reached by asking the API server. Problems do not say by which version a user wrote an object.
func (m *clusterMesh) manifests(ctx context.Context, of []analyze.Finding) []analyze.File {
	objects, err := dynamic.NewForConfig(m.config)
	if err != nil {
		return nil
	}
	var out []analyze.File
	for _, f := range of {
		kind, known := kinds.OfIstio()[f.Object.Kind]
		if !known {
			continue
		}
		resource := schema.GroupVersionResource{Group: kind.Group, Version: kind.Versions[0], Resource: kinds.Resource(f.Object.Kind)}
		found, err := objects.Resource(resource).Namespace(f.Object.Namespace).Get(ctx, f.Object.Name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		if data, err := found.MarshalJSON(); err == nil {
			out = append(out, analyze.File{Name: f.Object.String(), Data: data})
		}
	}
	return out
}

func (m *clusterMesh) pod(ctx context.Context, pod string) (*corev1.Pod, error) {
	at := strings.LastIndex(pod, ".")
	if at < 0 {
		return nil, fmt.Errorf("%q names no namespace", pod)
	}
	name, namespace := pod[:at], pod[at+1:]
	p, err := m.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return p, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Pod %s/%s: %w", namespace, name, err)
	}
	d, err := m.client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, m.noPod(ctx, name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read Deployment %s/%s: %w", namespace, name, err)
	}
	list, err := m.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector), FieldSelector: "status.phase=Running"})
	if err != nil {
		return nil, fmt.Errorf("list the pods of Deployment %s/%s: %w", namespace, name, err)
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("no pod of Deployment %s runs in namespace %s", name, namespace)
	}
	return &list.Items[0], nil
}

// podsAsked bounds how many pods are looked at for those that come closest to a name.
const podsAsked = 500

// noPod says that nothing has a name, and which pods of the namespace come closest to it.
func (m *clusterMesh) noPod(ctx context.Context, name, namespace string) error {
	text := fmt.Sprintf("there is no pod and no Deployment %s in namespace %s", name, namespace)
	list, err := m.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{Limit: podsAsked})
	if err != nil {
		return errors.New(text) // who may not list pods is told no names
	}
	var all []string
	for _, p := range list.Items {
		all = append(all, p.Name)
	}
	if near := spelling.Nearest(name, all); len(near) > 0 {
		text += "; there is " + strings.Join(near, ", ")
	}
	return errors.New(text)
}

// admin asks the Envoy of a pod.
func (m *clusterMesh) admin(ctx context.Context, pod, method, path string) ([]byte, error) {
	p, err := m.pod(ctx, pod)
	if err != nil {
		return nil, err
	}
	return m.ask(ctx, p, adminPort, method, "/"+path)
}

// ask sends one request to a port of a pod.
func (m *clusterMesh) ask(ctx context.Context, pod *corev1.Pod, port int, method, path string) ([]byte, error) {
	name := pod.Name + "." + pod.Namespace
	local, stop, err := m.forward(ctx, pod, port)
	if err != nil {
		return nil, fmt.Errorf("port %d of %s: %w", port, name, err)
	}
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", local, path), nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("port %d of %s: %w", port, name, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, notOK(name, resp, data)
	}
	return data, nil
}

// forward opens a local port that leads to one of a pod, until stop is called.
func (m *clusterMesh) forward(ctx context.Context, pod *corev1.Pod, port int) (local uint16, stop func(), err error) {
	dialer, err := m.dialer(pod)
	if err != nil {
		return 0, nil, err
	}
	end, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var said bytes.Buffer
	f, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, end, ready, io.Discard, &said)
	if err != nil {
		return 0, nil, err
	}
	go func() { done <- f.ForwardPorts() }()
	stop = func() { close(end); <-done }
	select {
	case err := <-done:
		return 0, nil, err
	case <-ctx.Done():
		stop()
		return 0, nil, ctx.Err()
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		stop()
		return 0, nil, err
	}
	return ports[0].Local, stop, nil
}

// dialer reaches a pod's ports through the API server: by a WebSocket, else, with an older one, by SPDY.
func (m *clusterMesh) dialer(pod *corev1.Pod) (httpstream.Dialer, error) {
	at, err := url.Parse(m.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL().String())
	if err != nil {
		return nil, err
	}
	roundTripper, upgrader, err := spdy.RoundTripperFor(m.config)
	if err != nil {
		return nil, err
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: roundTripper}, http.MethodPost, at)
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, m.config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(tunnel, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
