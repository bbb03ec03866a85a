package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// adminPort is Envoy's admin interface.
const adminPort = 15000

// requestTimeout bounds a request to a port of the pod unless told otherwise.
const requestTimeout = 60 * time.Second

// newRequestCommand gives the command that asks Envoy's admin interface, or another port of the
// pod: images of proxies have no curl.
func newRequestCommand(environ []string) *cobra.Command {
	var (
		port    int
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:     "request METHOD PATH [BODY]",
		Short:   "Ask Envoy's admin interface, or the agent, from inside the pod",
		Example: "  pilot-agent request GET server_info\n  pilot-agent request --debug-port 15020 POST drain",
		Args:    usage.Args(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := ""
			if len(args) == 3 {
				body = args[2]
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			metrics, err := metricsPort(environ)
			if err != nil {
				return err
			}
			return request(ctx, cmd.OutOrStdout(), args[0], requestURL(port, metrics, args[1]), body)
		},
	}
	cmd.Flags().IntVar(&port, "debug-port", adminPort, "port to ask: 15000 (Envoy, whose stats/prometheus has Istio's metrics as 15090 does), 15004 (control plane), 15020 (agent), 15021 (health)")
	cmd.Flags().DurationVar(&timeout, "timeout", requestTimeout, "how long the answer may take; 0 for as long as it comes")
	return cmd
}

// metricsPort is where the proxy of this environment has Envoy's metrics.
func metricsPort(environ []string) (int, error) {
	v := variables{env: environment(environ)}
	return v.integer(prometheusPort, bootstrap.PrometheusPort), errors.Join(v.errs...)
}

// requestURL gives what is to be asked. Envoy itself has Istio's metrics in a form of its own, which nobody's tools
// know; so they are read where Prometheus reads them.
func requestURL(port, metrics int, path string) string {
	path = strings.TrimPrefix(path, "/")
	if name, _, _ := strings.Cut(path, "?"); port == adminPort && name == "stats/prometheus" {
		port = metrics
	}
	return "http://" + net.JoinHostPort("localhost", strconv.Itoa(port)) + "/" + path
}

func request(ctx context.Context, out io.Writer, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), url, strings.NewReader(body))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(out, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", req.Method, url, res.Status)
	}
	return nil
}
