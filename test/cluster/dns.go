package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pilothouse-mesh/pilothouse/localnode/dns"
	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
)

// dnsPort is where the nameserver listens on the first node.
const dnsPort = 53

// names answers the names of a cluster's Services, as CoreDNS would, from within this process.
type names struct {
	server   *dns.Server
	services kubeclient.Cache[*corev1.Service]
	slices   kubeclient.Cache[*discoveryv1.EndpointSlice]
	wake     chan struct{}
}

// startDNS starts the nameserver and makes its Service.
func (c *cluster) startDNS(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	addr := net.JoinHostPort(c.first().ip.String(), strconv.Itoa(dnsPort))
	l, err := c.first().ns.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	pc, err := c.first().ns.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	n := &names{
		server:   dns.NewServer(nil, slog.New(slog.DiscardHandler)),
		services: kubeclient.Follow(client, client.CoreV1().Services(""), &corev1.Service{}, ""),
		slices:   kubeclient.Follow(client, client.DiscoveryV1().EndpointSlices(""), &discoveryv1.EndpointSlice{}, ""),
		wake:     make(chan struct{}, 1),
	}
	if err := kubeclient.Wake(n.wake, n.services, n.slices); err != nil {
		return err
	}
	wait := kubeclient.Run(ctx, n.services, n.slices)
	c.tasks.Go(func() {
		n.run(ctx)
		wait()
	})
	c.tasks.Go(func() { _ = n.server.Serve(ctx, l, pc) }) // it ends with ctx
	return c.dnsService(ctx, client)
}

// run makes the table anew after changes.
func (n *names) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
			n.server.Set(n.table())
		}
	}
}

func (n *names) table() *dns.Table {
	var out []dns.Service
	for _, s := range n.services.All() {
		entry := dns.Service{Namespace: s.Namespace, Name: s.Name, External: s.Spec.ExternalName}
		for _, p := range s.Spec.Ports {
			entry.Ports = append(entry.Ports, dns.Port{Name: p.Name, Protocol: strings.ToLower(string(p.Protocol)), Port: uint16(p.Port)})
		}
		if s.Spec.ClusterIP == corev1.ClusterIPNone {
			n.headless(s, &entry)
		} else if ip, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil {
			entry.Addresses = []netip.Addr{ip}
		}
		out = append(out, entry)
	}
	return dns.NewTable(domain, out)
}

// headless adds the addresses of a Service's pods.
func (n *names) headless(s *corev1.Service, entry *dns.Service) {
	entry.Hosts = map[string][]netip.Addr{}
	for _, slice := range n.slices.All() {
		if slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		for _, ep := range slice.Endpoints {
			ip, err := netip.ParseAddr(ep.Addresses[0])
			if err != nil || ep.Conditions.Ready != nil && !*ep.Conditions.Ready && !s.Spec.PublishNotReadyAddresses {
				continue
			}
			entry.Addresses = append(entry.Addresses, ip)
			if ep.Hostname != nil {
				entry.Hosts[*ep.Hostname] = append(entry.Hosts[*ep.Hostname], ip)
			}
		}
	}
}

// dnsService makes the Service by which pods reach the nameserver.
func (c *cluster) dnsService(ctx context.Context, client kubernetes.Interface) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Namespace: metav1.NamespaceSystem},
		Spec:       corev1.ServiceSpec{ClusterIP: c.plan.dnsAddress().String()},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kube-dns", Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{c.first().ip.String()}}},
	}
	port := int32(dnsPort)
	for name, protocol := range map[string]corev1.Protocol{"dns": corev1.ProtocolUDP, "dns-tcp": corev1.ProtocolTCP} {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: name, Port: port, Protocol: protocol})
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &protocol})
	}
	_, err := client.CoreV1().Services(service.Namespace).Create(ctx, service, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the nameserver's Service: %w", err)
	}
	_, err = client.DiscoveryV1().EndpointSlices(slice.Namespace).Create(ctx, slice, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the nameserver's EndpointSlice: %w", err)
	}
	return nil
}
