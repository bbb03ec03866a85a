package dns

import (
	"fmt"
	"net"

	"github.com/miekg/dns"
)

// ReadResolvConf reads nameservers (as host:port) and search domains of a resolv.conf.
func ReadResolvConf(path string) (nameservers, search []string, err error) {
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("resolv.conf: %w", err)
	}
	for _, host := range c.Servers {
		nameservers = append(nameservers, net.JoinHostPort(host, c.Port))
	}
	return nameservers, c.Search, nil
}
