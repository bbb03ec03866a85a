package validate

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) serviceEntry(e *networking.ServiceEntry) {
	c.entryHosts(e)
	c.entryAddresses(e)
	ports := c.entryPorts(e)
	if w := e.GetWorkloadSelector(); w != nil {
		c.labels("spec.workloadSelector.labels", w.GetLabels())
		if len(w.GetLabels()) == 0 {
			c.warn("spec.workloadSelector", "has no labels and selects nothing; name the labels of the workloads")
		}
		if len(e.GetEndpoints()) > 0 {
			c.fail("spec.endpoints", "cannot stand beside workloadSelector; leave one of them out")
		}
	}
	c.entryResolution(e)
	for i, we := range e.GetEndpoints() {
		c.inlineEndpoint(at("spec.endpoints", i), e, we, ports)
	}
	c.exportTo("spec.exportTo", e.GetExportTo(), c.fail)
	c.distributionAnnotation()
}

// The most that Istio's schema takes of each.
const (
	maxEntryItems     = 256
	maxEntryEndpoints = 4096
	maxEndpointPorts  = 128
)

func (c *checker) most(field string, n, limit int) {
	if n > limit {
		c.fail(field, "has %d items, the limit is %d; use several objects", n, limit)
	}
}

func (c *checker) entryHosts(e *networking.ServiceEntry) {
	if len(e.GetHosts()) == 0 {
		c.missing("spec.hosts")
	}
	c.most("spec.hosts", len(e.GetHosts()), maxEntryItems)
	for i, host := range e.GetHosts() {
		switch field := at("spec.hosts", i); {
		case host == "*":
			c.fail(field, `may not be every host; write a name or a wildcard such as "*.example.com"`)
		case !isWildcardHost(host):
			c.fail(field, `%q is no hostname; write a name or a wildcard such as "*.example.com"`, host)
		}
	}
}

func (c *checker) entryAddresses(e *networking.ServiceEntry) {
	c.most("spec.addresses", len(e.GetAddresses()), maxEntryItems)
	fixed := e.GetResolution() == networking.ServiceEntry_NONE || e.GetResolution() == networking.ServiceEntry_STATIC
	for i, address := range e.GetAddresses() {
		switch field := at("spec.addresses", i); {
		case !isSubnet(address):
			c.fail(field, "%q is neither an IP address nor a subnet such as 10.0.0.0/8", address)
		case strings.Contains(address, "/") && !fixed:
			c.fail(field, "is a subnet, which needs resolution NONE or STATIC; write an IP address")
		case isEveryAddress(address):
			c.everyAddress(field, e)
		}
	}
}

// everyAddress warns of ports that take what is meant for others, as their protocols name no host.
func (c *checker) everyAddress(field string, e *networking.ServiceEntry) {
	for _, p := range e.GetPorts() {
		if !namesHost(strings.ToUpper(p.GetProtocol())) {
			c.warn(field, "is every address, so all connections to port %d come here that no other service has the address of; write the subnets that are meant", p.GetNumber())
			return
		}
	}
}

// entryPorts checks the ports and gives their names.
func (c *checker) entryPorts(e *networking.ServiceEntry) map[string]bool {
	c.most("spec.ports", len(e.GetPorts()), maxEntryItems)
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i, p := range e.GetPorts() {
		path := at("spec.ports", i)
		c.portName(path+".name", p.GetName())
		c.entryProtocol(path+".protocol", p.GetProtocol())
		if names[p.GetName()] {
			c.fail(path+".name", "%q is the name of another port as well; give each its own", p.GetName())
		}
		if numbers[p.GetNumber()] {
			c.fail(path+".number", "%d is the number of another port as well; leave one of them out", p.GetNumber())
		}
		names[p.GetName()], numbers[p.GetNumber()] = true, true
	}
	return names
}

func (c *checker) portName(path, name string) {
	if name == "" {
		c.missing(path)
	} else if !isPortName(name) {
		c.fail(path, "%q is no port name; use letters, digits and dashes, 63 at most", name)
	}
}

func isPortName(name string) bool {
	alphanumeric := func(b byte) bool {
		return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
	}
	if name == "" || len(name) > 63 || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := range len(name) {
		if !alphanumeric(name[i]) && name[i] != '-' {
			return false
		}
	}
	return true
}

// entryProtocol knows UDP beside the others, which Istio takes and does not serve.
func (c *checker) entryProtocol(path, protocol string) {
	if strings.EqualFold(protocol, "UDP") {
		c.notTranslated(path, "UDP is not translated; proxies do not know the port")
		return
	}
	c.protocol(path, protocol)
}

// entryResolution checks what has to come with each way to find endpoints.
func (c *checker) entryResolution(e *networking.ServiceEntry) {
	switch r := e.GetResolution(); r {
	case networking.ServiceEntry_NONE:
		if len(e.GetEndpoints()) > 0 {
			c.fail("spec.endpoints", "cannot stand with resolution NONE, by which connections go where the application wanted to; use STATIC or DNS")
		}
	case networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN:
		for i, host := range e.GetHosts() {
			if len(e.GetEndpoints()) == 0 && strings.HasPrefix(host, "*") {
				c.fail(at("spec.hosts", i), "is a wildcard, which cannot be resolved; write a name, or endpoints")
			}
		}
		if r == networking.ServiceEntry_DNS_ROUND_ROBIN && len(e.GetEndpoints()) > 1 {
			c.fail("spec.endpoints", "has %d items, and resolution DNS_ROUND_ROBIN takes one at most; use DNS", len(e.GetEndpoints()))
		}
	case networking.ServiceEntry_DYNAMIC_DNS:
		c.dynamicDNS(e)
	}
	if len(e.GetHosts()) < 2 || e.GetResolution() == networking.ServiceEntry_NONE {
		return
	}
	for i, p := range e.GetPorts() {
		if protocol := strings.ToUpper(p.GetProtocol()); !namesHost(protocol) {
			c.warn(at("spec.ports", i)+".protocol", "does not tell the hosts apart, which HTTP and TLS do; use an object for each host")
			return
		}
	}
}

// namesHost tells whether connections of a protocol say which host they are for.
func namesHost(protocol string) bool {
	switch protocol {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS":
		return true
	}
	return false
}

func (c *checker) dynamicDNS(e *networking.ServiceEntry) {
	for i, host := range e.GetHosts() {
		if !strings.HasPrefix(host, "*") {
			c.fail(at("spec.hosts", i), "is one name, and resolution DYNAMIC_DNS is for wildcards; use DNS")
		}
	}
	for i, p := range e.GetPorts() {
		if !namesHost(strings.ToUpper(p.GetProtocol())) {
			c.fail(at("spec.ports", i)+".protocol", "tells no host, which resolution DYNAMIC_DNS needs; use HTTP or TLS")
		}
	}
	if len(e.GetEndpoints()) > 0 {
		c.warn("spec.endpoints", "is not read with resolution DYNAMIC_DNS; leave it out")
	}
}

// inlineEndpoint checks an endpoint beside the ports of its ServiceEntry.
func (c *checker) inlineEndpoint(path string, e *networking.ServiceEntry, we *networking.WorkloadEntry, ports map[string]bool) {
	c.most("spec.endpoints", len(e.GetEndpoints()), maxEntryEndpoints)
	c.workload(path, we)
	for _, name := range sortedKeys(we.GetPorts()) {
		if !ports[name] {
			c.fail(entry(path+".ports", name), "is no port of the object; use a name of spec.ports")
		}
	}
	field, kind := path+".address", model.KindOfAddress(we.GetAddress())
	switch e.GetResolution() {
	case networking.ServiceEntry_STATIC:
		if kind == model.AddressName {
			c.fail(field, "%q is no IP address, which resolution STATIC needs; use DNS for names", we.GetAddress())
		}
		if kind == model.AddressUnix && len(e.GetPorts()) != 1 {
			c.fail(field, "is a Unix socket, which needs exactly one port in spec.ports")
		}
	case networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN:
		if kind == model.AddressUnix {
			c.fail(field, "is a Unix socket, which needs resolution STATIC")
		}
	}
}
