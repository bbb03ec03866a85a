package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ingressIsServed has an Ingress of the mesh's class: requests of its host come through the gateway, and its status
// says at which address, which is that of the gateway's load balancer.
func (w *world) ingressIsServed(ctx context.Context) {
	w.Helper()
	const name, host, address = "details", "details.example.com", "192.0.2.80"
	classes, ingresses := w.client.NetworkingV1().IngressClasses(), w.client.NetworkingV1().Ingresses("default")
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh"}, Spec: networkingv1.IngressClassSpec{Controller: "istio.io/ingress-controller"},
	}
	if _, err := classes.Create(ctx, class, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	prefix := networkingv1.PathTypePrefix
	of := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 9080}}}
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{
		IngressClassName: &class.Name,
		Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/details", PathType: &prefix, Backend: of}},
		}}}},
	}}
	if _, err := ingresses.Create(ctx, ingress, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	gateway := w.balanced(ctx, address)
	w.until(ctx, "details by an Ingress", func(ctx context.Context) (bool, error) {
		err := asks(ctx, "http://"+gateway+"/details/0", host)
		return err == nil, err
	})
	w.until(ctx, "the status of an Ingress", func(ctx context.Context) (bool, error) {
		now, err := ingresses.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		at := now.Status.LoadBalancer.Ingress
		return len(at) == 1 && at[0].IP == address, fmt.Errorf("it is reached at %v", at)
	})
	if err := ingresses.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		w.Error(err)
	}
	w.until(ctx, "the end of an Ingress", func(ctx context.Context) (bool, error) {
		err := asks(ctx, "http://"+gateway+"/details/0", host)
		return err != nil, fmt.Errorf("%s is still served", host)
	})
	if err := classes.Delete(ctx, class.Name, metav1.DeleteOptions{}); err != nil {
		w.Error(err)
	}
}

// balanced gives the gateway's Service a load balancer's address, as the controller of a cloud does, and gives the
// Service's own.
func (w *world) balanced(ctx context.Context, address string) string {
	w.Helper()
	patch, err := json.Marshal(map[string]any{"status": corev1.ServiceStatus{
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}},
	}})
	if err != nil {
		w.Fatal(err)
	}
	service, err := w.client.CoreV1().Services("istio-system").Patch(ctx, "istio-ingressgateway", types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		w.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// asks asks for a page of a host.
func asks(ctx context.Context, url, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", url, host, resp.Status)
	}
	return nil
}
