// Command bookinfo plays the four services of the bookinfo sample: productpage calls details
// and reviews, reviews (v2 and v3) calls ratings. Which of them it is and in which version is
// said by the image's environment (BOOKINFO_SERVICE, BOOKINFO_VERSION) or by two arguments.
// It notices nothing of the mesh: it speaks plain HTTP and forwards the headers that tie a
// trace and a user together. What the mesh adds (the caller's SPIFFE identity in
// X-Forwarded-Client-Cert) it shows on the page.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "get" || os.Args[1] == "lookup") {
		if err := client(context.Background(), os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bookinfo:", err)
			os.Exit(1)
		}
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	svc, err := fromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bookinfo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, log, svc); err != nil {
		fmt.Fprintln(os.Stderr, "bookinfo:", err)
		os.Exit(1)
	}
}

func fromEnvironment() (*service, error) {
	svc := &service{
		name: os.Getenv("BOOKINFO_SERVICE"), version: os.Getenv("BOOKINFO_VERSION"),
		addr: ":9080", pod: os.Getenv("HOSTNAME"),
		upstream: upstreams(os.Getenv("SERVICES_DOMAIN")),
		client:   &http.Client{Timeout: 30 * time.Second},
	}
	if len(os.Args) == 3 {
		svc.name, svc.version = os.Args[1], os.Args[2]
	}
	if svc.handlers() == nil {
		return nil, fmt.Errorf("no such service %q: say productpage, details, reviews or ratings and a version, "+
			"as two arguments or in BOOKINFO_SERVICE and BOOKINFO_VERSION", svc.name)
	}
	return svc, nil
}

func serve(ctx context.Context, log *slog.Logger, svc *service) error {
	server := &http.Server{Addr: svc.addr, Handler: svc.counted(svc.mux()), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.ListenAndServe() }()
	log.Info("serving", "service", svc.name, "version", svc.version, "address", svc.addr)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
