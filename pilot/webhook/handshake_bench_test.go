package webhook

import (
	"crypto/tls"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHandshake tells what processor's time a new connection takes of the server and of who asks: each works on a
// thread of its own.
func BenchmarkHandshake(b *testing.B) {
	certificate, roots := selfSigned(b)
	config := TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil })
	classic := config.Clone()
	classic.CurvePreferences = []tls.CurveID{tls.X25519}
	for name, server := range map[string]*tls.Config{"as served": config, "X25519 alone": classic} {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			took := make(chan time.Duration)
			go func() {
				runtime.LockOSThread()
				began := threadCPU(b)
				for range b.N {
					raw, err := l.Accept()
					if err != nil {
						b.Error(err)
						break
					}
					conn := tls.Server(raw, server)
					if err := conn.Handshake(); err != nil {
						b.Error(err)
					}
					_ = conn.Close()
				}
				took <- threadCPU(b) - began
			}()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			client := &tls.Config{RootCAs: roots, ServerName: "istiod", NextProtos: []string{"http/1.1"}}
			began := threadCPU(b)
			for range b.N {
				conn, err := tls.Dial("tcp", l.Addr().String(), client)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.Close()
			}
			b.ReportMetric(float64((threadCPU(b)-began).Microseconds())/float64(b.N), "client-cpu-µs/op")
			b.ReportMetric(float64((<-took).Microseconds())/float64(b.N), "server-cpu-µs/op")
		})
	}
}

func threadCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
