// Package kubeclient asks an API server by typed clients of the API groups that the control plane uses, and no
// others. client-go's Clientset and informer factories hold those of all groups. Nothing of them is left out of a
// program that renders templates, since a template may call any method of any value.
package kubeclient

import (
	"errors"

	admissionregistrationv1 "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingv1 "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// Interface gives the clients of the groups. A kubernetes.Interface is one.
type Interface interface {
	AdmissionregistrationV1() admissionregistrationv1.AdmissionregistrationV1Interface
	AuthenticationV1() authenticationv1.AuthenticationV1Interface
	AuthorizationV1() authorizationv1.AuthorizationV1Interface
	CoordinationV1() coordinationv1.CoordinationV1Interface
	CoreV1() corev1.CoreV1Interface
	DiscoveryV1() discoveryv1.DiscoveryV1Interface
	NetworkingV1() networkingv1.NetworkingV1Interface
}

type clients struct {
	admissionregistration *admissionregistrationv1.AdmissionregistrationV1Client
	authentication        *authenticationv1.AuthenticationV1Client
	authorization         *authorizationv1.AuthorizationV1Client
	coordination          *coordinationv1.CoordinationV1Client
	core                  *corev1.CoreV1Client
	discovery             *discoveryv1.DiscoveryV1Client
	networking            *networkingv1.NetworkingV1Client
}

func (c *clients) AdmissionregistrationV1() admissionregistrationv1.AdmissionregistrationV1Interface {
	return c.admissionregistration
}

func (c *clients) AuthenticationV1() authenticationv1.AuthenticationV1Interface {
	return c.authentication
}

func (c *clients) AuthorizationV1() authorizationv1.AuthorizationV1Interface { return c.authorization }

func (c *clients) CoordinationV1() coordinationv1.CoordinationV1Interface { return c.coordination }
func (c *clients) CoreV1() corev1.CoreV1Interface                         { return c.core }
func (c *clients) DiscoveryV1() discoveryv1.DiscoveryV1Interface          { return c.discovery }
func (c *clients) NetworkingV1() networkingv1.NetworkingV1Interface       { return c.networking }

// New gives the clients of a configuration. As client-go's Clientset does, they have one HTTP client and one rate
// between them: that of the configuration, or five requests a second where it says none, and no bound below 0.
func New(config *rest.Config) (Interface, error) {
	config = rest.CopyConfig(config)
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	if config.RateLimiter == nil && config.QPS >= 0 {
		qps, burst := config.QPS, config.Burst
		if qps == 0 {
			qps = rest.DefaultQPS
		}
		if burst == 0 {
			burst = rest.DefaultBurst
		}
		config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(qps, burst)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	out := &clients{}
	errs := make([]error, 7)
	out.admissionregistration, errs[0] = admissionregistrationv1.NewForConfigAndClient(config, client)
	out.authentication, errs[1] = authenticationv1.NewForConfigAndClient(config, client)
	out.authorization, errs[2] = authorizationv1.NewForConfigAndClient(config, client)
	out.coordination, errs[3] = coordinationv1.NewForConfigAndClient(config, client)
	out.core, errs[4] = corev1.NewForConfigAndClient(config, client)
	out.discovery, errs[5] = discoveryv1.NewForConfigAndClient(config, client)
	out.networking, errs[6] = networkingv1.NewForConfigAndClient(config, client)
	return out, errors.Join(errs...)
}
