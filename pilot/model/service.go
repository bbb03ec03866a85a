package model

import (
	"cmp"
	"time"
)

// Protocol is what a service port speaks, decided by appProtocol, then by the port name's
// prefix, as Istio's protocol selection documents.
type Protocol string

// The protocols that make a difference to a proxy's configuration.
const (
	ProtocolHTTP    Protocol = "HTTP"
	ProtocolHTTP2   Protocol = "HTTP2"
	ProtocolGRPC    Protocol = "GRPC"
	ProtocolGRPCWeb Protocol = "GRPC-Web"
	ProtocolHTTPS   Protocol = "HTTPS"
	ProtocolTLS     Protocol = "TLS"
	ProtocolTCP     Protocol = "TCP"
	ProtocolMongo   Protocol = "Mongo"
	ProtocolRedis   Protocol = "Redis"
	ProtocolMySQL   Protocol = "MySQL"
	ProtocolUDP     Protocol = "UDP"
	// ProtocolAuto means that the proxy has to sniff.
	ProtocolAuto Protocol = ""
)

// Ports whose protocol is known by the number, and is not to be sniffed: servers of most of them speak first.
const (
	PortSMTP  = 25
	PortDNS   = 53
	PortMySQL = 3306
	PortMongo = 27017
)

// IsHTTP tells whether routes apply to the protocol.
func (p Protocol) IsHTTP() bool {
	return p == ProtocolHTTP || p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// IsTLS tells whether connections of the protocol begin with a TLS handshake.
func (p Protocol) IsTLS() bool { return p == ProtocolTLS || p == ProtocolHTTPS }

// IsHTTP2 tells whether servers of the protocol speak HTTP/2. Clients of gRPC-Web may speak HTTP/1.1;
// proxies translate it to gRPC.
func (p Protocol) IsHTTP2() bool {
	return p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// Resolution tells how a service's endpoints are found.
type Resolution uint8

const (
	// ResolutionEDS means that the control plane sends the endpoints.
	ResolutionEDS Resolution = iota
	// ResolutionPassthrough means that the proxy goes where the application wanted to: of headless
	// services, and of a ServiceEntry with NONE.
	ResolutionPassthrough
	// ResolutionDNS means that the proxy resolves the endpoints' names and uses all addresses.
	ResolutionDNS
	// ResolutionDNSRoundRobin means that the proxy resolves one name and uses one address at a time.
	ResolutionDNSRoundRobin
	// ResolutionDynamicDNS means that the proxy resolves the name that the client asked for.
	ResolutionDynamicDNS
)

// ServicePort is one port of a service.
type ServicePort struct {
	Name       string
	Port       uint32 // 1 to 65535
	Protocol   Protocol
	TargetPort uint32 // numeric target, 0 where it is a name
	TargetName string // named target, "" where it is a number
}

// Service is one hostname of the mesh with its ports. It is immutable.
type Service struct {
	Key       Key       // the object it came from, which may give several services
	Created   time.Time // of that object
	Hostname  string    // e.g. reviews.default.svc.cluster.local
	Namespace string
	Name      string
	// Addresses are IPs and, of a ServiceEntry, subnets in the form 10.0.0.0/8; empty for headless
	// services and those without one yet.
	Addresses []string
	// Allocated are the addresses of a service of a ServiceEntry without any, at most one of each IP
	// family. They are known to proxies whose agent answers DNS, and to no others.
	Allocated  []string
	Ports      []ServicePort
	Resolution Resolution
	Headless   bool
	Selector   map[string]string // labels of pods and WorkloadEntries; nil for none
	ExportTo   []string          // networking.istio.io/exportTo; nil means "*"
	Labels     map[string]string
	// ServiceAccounts are the SPIFFE identities that its endpoints may present, sorted.
	ServiceAccounts []string
	// SubjectAltNames are further names that certificates of its endpoints may have, sorted.
	SubjectAltNames []string
	// External tells that it is outside of the mesh, so that nobody there speaks the mesh's mutual TLS.
	External bool
	// Hidden are ServiceEntries with the same hostname that are not in effect for those who see the
	// service, sorted by key.
	Hidden []Source
	// PublishNotReady keeps endpoints in service that are not ready (publishNotReadyAddresses).
	PublishNotReady bool
	// TrafficDistribution says which endpoints are preferred, PreferSameZone or PreferSameNode; "" for none.
	TrafficDistribution string
	// Located tells that proxies resolve the names of its endpoints, which may say where they are.
	Located bool
	// NodeLocal leaves out endpoints that are not on the client's node (internalTrafficPolicy: Local).
	NodeLocal bool
	Origin    Origin
}

// Source names an object with where it was read.
type Source struct {
	Key
	Origin Origin
	Partly bool // of a hidden service: some of its ports are in effect
}

// ByNode tells whether it depends on the client's node which endpoints get its requests.
func (s *Service) ByNode() bool { return s.NodeLocal || s.TrafficDistribution == PreferSameNode }

// ServiceID tells services apart: a hostname may be that of several, in several namespaces.
type ServiceID struct{ Namespace, Hostname string }

// ID gives what identifies the service. The same Service in several clusters has one ID.
func (s *Service) ID() ServiceID { return ServiceID{s.Namespace, s.Hostname} }

// CompareServices orders services of one hostname: those of Kubernetes before others, then by age,
// then by namespace and name. The first is the one that counts, unless a namespace has its own.
func CompareServices(a, b *Service) int {
	kubernetes := func(s *Service) int {
		if s.Key.Kind == KindService {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(kubernetes(a), kubernetes(b)), a.Created.Compare(b.Created), a.Key.Compare(b.Key))
}

// PortByNumber gives the port with the number that proxies serve, which is not of UDP, or nil. A number
// may stand for two ports, one of UDP.
func (s *Service) PortByNumber(n uint32) *ServicePort {
	for i := range s.Ports {
		if s.Ports[i].Port == n && s.Ports[i].Protocol != ProtocolUDP {
			return &s.Ports[i]
		}
	}
	return nil
}

// OnlyPort gives the port that proxies serve where there is exactly one, else nil.
func (s *Service) OnlyPort() *ServicePort {
	var only *ServicePort
	for i := range s.Ports {
		if s.Ports[i].Protocol == ProtocolUDP {
			continue
		}
		if only != nil {
			return nil
		}
		only = &s.Ports[i]
	}
	return only
}

// Health of an endpoint as the control plane knows it.
type Health uint8

const (
	// Healthy endpoints get traffic.
	Healthy Health = iota
	// Unhealthy endpoints are not ready.
	Unhealthy
	// Draining endpoints are terminating.
	Draining
)

// Locality is region/zone/subzone, each possibly empty.
type Locality struct{ Region, Zone, SubZone string }

// Endpoint is one address and port that serves one port of a service. It is a comparable-by-value
// row without anything volatile; Labels is shared with the pod that it came from and never written.
type Endpoint struct {
	Address        string // IP; a DNS name where the service's resolution is by DNS; or a Unix socket's path, with port 0
	Port           uint32
	ServicePort    string // the name of the service's port; "" for a single unnamed one
	Labels         map[string]string
	Locality       Locality
	Network        string
	Cluster        string // of the workload; "" for the control plane's own
	Listed         bool   // by a ServiceEntry itself, so that it is of no cluster
	ServiceAccount string
	Namespace      string
	Workload       string // e.g. the Deployment's name
	Node           string // where the workload runs; "" for nowhere that is known
	Pod            string // the pod's name; for debugging and headless, never for bytes of a class
	Entry          bool   // Pod is the name of a WorkloadEntry
	TLSMode        string // "istio" where the workload has a sidecar, else "disabled"
	Weight         uint32 // 0 means 1
	Health         Health
	Lost           bool // its pod's node has not been heard of; Health tells whether it is kept in service
	LongPeer       bool // as in Pod
}

// LabelDraining, with any value, takes a workload out of service.
const LabelDraining = "istio.io/draining"

// TLS modes of an endpoint, as in the label of its pod.
const (
	LabelTLSMode    = "security.istio.io/tlsMode"
	TLSModeIstio    = "istio"
	TLSModeDisabled = "disabled"
)
