package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// Demo installs the mesh in a cluster and runs the bookinfo sample of a directory in it, injected. It
// gives the page's URL once the page comes.
func Demo(ctx context.Context, info Info, samples string, say func(string)) (string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", info.Kubeconfig)
	if err != nil {
		return "", err
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	mesh, err := install.Open(config, say)
	if err != nil {
		return "", err
	}
	if err := mesh.Install(ctx, operator.Settings{}, false); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("there are no manifests in %s", samples)
	}
	if err := join(ctx, client, metav1.NamespaceDefault); err != nil {
		return "", err
	}
	say("applying the bookinfo sample")
	for _, file := range files {
		objects, err := sample(file)
		if err != nil {
			return "", err
		}
		if err := mesh.Apply(ctx, objects); err != nil {
			return "", err
		}
	}
	say("waiting for its pods")
	if err := poll(ctx, "bookinfo's pods", func(ctx context.Context) (bool, error) { return podsReady(ctx, client, metav1.NamespaceDefault, 6) }); err != nil {
		return "", err
	}
	gateway, err := client.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	url := "http://" + gateway.Spec.ClusterIP + "/productpage"
	return url, poll(ctx, "the page", func(ctx context.Context) (bool, error) {
		_, err := fetch(ctx, url)
		return err == nil, err
	})
}

// join labels a namespace, so that its new pods are injected.
func join(ctx context.Context, client kubernetes.Interface, namespace string) error {
	patch := []byte(`{"metadata":{"labels":{"istio-injection":"enabled"}}}`)
	_, err := client.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// sampleImage is an image of the sample as Istio names it.
var sampleImage = regexp.MustCompile(`docker\.io/istio/(examples-bookinfo-[a-z0-9-]+):\S+`)

func ourImages(manifest []byte) []byte {
	return sampleImage.ReplaceAll(manifest, []byte("pilothouse/$1:dev"))
}

// sample reads a file of the samples, with our images.
func sample(file string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = ourImages(text)
	var objects []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := d.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// podsReady tells whether a namespace has at least so many pods, and all are ready.
func podsReady(ctx context.Context, client kubernetes.Interface, namespace string, atLeast int) (bool, error) {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, p := range pods.Items {
		if !ready(&p) {
			return false, fmt.Errorf("%s is not ready", p.Name)
		}
	}
	return len(pods.Items) >= atLeast, fmt.Errorf("%d pods, not %d", len(pods.Items), atLeast)
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// fetch gives what is at a URL; an answer other than 200 is an error, and so is none within half a minute.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), err
}
