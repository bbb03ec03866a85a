package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// requestTimeout bounds a request to a port of the pod unless told otherwise.
const requestTimeout = 60 * time.Second

// newRequestCommand gives the command that asks Envoy's admin interface, or another port of the
// pod: images of proxies have no curl.
func newRequestCommand() *cobra.Command {
	var (
		port    int
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:     "request METHOD PATH [BODY]",
		Short:   "Ask Envoy's admin interface, or the agent, from inside the pod",
		Example: "  pilot-agent request GET server_info\n  pilot-agent request --debug-port 15020 POST drain",
		Args:    usage(cobra.RangeArgs(2, 3)),
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
			return request(ctx, cmd.OutOrStdout(), args[0], requestURL(port, args[1]), body)
		},
	}
	cmd.Flags().IntVar(&port, "debug-port", 15000, "port to ask: 15000 (Envoy), 15004 (control plane), 15020 (agent), 15021 (health)")
	cmd.Flags().DurationVar(&timeout, "timeout", requestTimeout, "how long the answer may take; 0 for as long as it comes")
	return cmd
}

func requestURL(port int, path string) string {
	return "http://" + net.JoinHostPort("localhost", strconv.Itoa(port)) + "/" + strings.TrimPrefix(path, "/")
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
