package apply

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Probe says how it is tried out whether the rules that are in place redirect connections.
type Probe struct {
	// Port is that of the address that is called, at which nothing listens.
	Port uint16
	// InboundPort is where the call has to end: the proxy's port for inbound connections.
	InboundPort uint16
	// ProxyUID is the user whose call to an address of the loopback interface is sent in by that port.
	ProxyUID int
	// IPv6 tries IPv6 as well; see HasIPv6.
	IPv6 bool
	// Timeout bounds one try.
	Timeout time.Duration
}

// The addresses that are called. They are on loopback, and not the one that is never redirected.
var (
	probeIPv4 = netip.MustParseAddr("127.0.0.6")
	probeIPv6 = netip.MustParseAddr("::6")
)

// Run calls an address at which nobody listens, as the proxy's user, and listens at the proxy's inbound
// port: only redirection brings the two together. It needs that port, so it runs before the proxy does; and
// it is run as root or as the proxy's user. The error says which family is not redirected.
func (p Probe) Run(ctx context.Context) error {
	targets := []netip.Addr{probeIPv4}
	if p.IPv6 {
		targets = append(targets, probeIPv6)
	}
	for _, t := range targets {
		if err := p.try(ctx, netip.AddrPortFrom(t, p.Port)); err != nil {
			return fmt.Errorf("connections to %s are not redirected: %w", t, err)
		}
	}
	return nil
}

func (p Probe) try(ctx context.Context, target netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	loopback := netip.IPv6Loopback()
	if target.Addr().Is4() {
		loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(loopback, p.InboundPort).String())
	if err != nil {
		return err
	}
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	arrived := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = conn.Close()
		}
		arrived <- err
	}()
	call, err := p.dial(ctx, loopback, target)
	if err != nil {
		listener.Close()
		<-arrived
		return err
	}
	defer call.Close()
	if err := <-arrived; err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

// dial calls as the proxy's user. The kernel knows a socket's owner by the file-system user of the thread
// that opened it. The source is given, for ::6 would be its own, and what comes from there is the proxy's.
func (p Probe) dial(ctx context.Context, source netip.Addr, target netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}
	if os.Getuid() == p.ProxyUID {
		return d.DialContext(ctx, "tcp", target.String())
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.SetfsuidRetUid(p.ProxyUID)
	if err != nil {
		return nil, fmt.Errorf("calling as user %d: %w", p.ProxyUID, err)
	}
	defer unix.Setfsuid(own)
	if now, err := unix.SetfsuidRetUid(p.ProxyUID); err != nil || now != p.ProxyUID {
		return nil, fmt.Errorf("calling as user %d needs root or that user", p.ProxyUID)
	}
	return d.DialContext(ctx, "tcp", target.String())
}
