package model

import (
	"strconv"
	"strings"
)

// Names of resources that Istio's tools read (reference: Istio pilot/pkg/model/service.go).
const (
	BlackHoleCluster          = "BlackHoleCluster"
	PassthroughCluster        = "PassthroughCluster"
	DynamicDNSCluster         = "AllowAnyDynamicDNSCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
	VirtualOutboundListener   = "virtualOutbound"
	VirtualInboundListener    = "virtualInbound"
	// RootNamespace is the default of MeshConfig.rootNamespace.
	RootNamespace = "istio-system"
)

// ClusterHost gives the host in a ClusterName, "" for the name of a cluster of no service.
func ClusterHost(cluster string) string {
	if parts := strings.Split(cluster, "|"); len(parts) == 4 {
		return parts[3]
	}
	return ""
}

// ClusterParts takes a ClusterName apart, or a DNSSNIName, which is also the name of the cluster that a gateway passes
// its connections on to. Port is 0 and the others are empty for another name.
func ClusterParts(cluster string) (port uint32, subset, host string) {
	parts := strings.Split(cluster, "|")
	if len(parts) != 4 {
		parts = strings.SplitN(cluster, "_.", 4)
	}
	if len(parts) != 4 {
		return 0, "", ""
	}
	n, _ := strconv.ParseUint(parts[1], 10, 16)
	return uint32(n), parts[2], parts[3]
}

// ClusterName gives direction|port|subset|host, e.g. outbound|9080|v1|reviews.default.svc.cluster.local.
func ClusterName(direction string, port uint32, subset, host string) string {
	return direction + "|" + strconv.FormatUint(uint64(port), 10) + "|" + subset + "|" + host
}

// DNSSNIName gives the SNI for mutual TLS to a subset: outbound_.port_.subset_.host.
func DNSSNIName(port uint32, subset, host string) string {
	return "outbound_." + strconv.FormatUint(uint64(port), 10) + "_." + subset + "_." + host
}

// SPIFFE gives spiffe://trustDomain/ns/NS/sa/SA.
func SPIFFE(trustDomain, namespace, serviceAccount string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + serviceAccount
}
