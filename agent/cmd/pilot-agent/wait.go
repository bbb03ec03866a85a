package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// newWaitCommand gives the command that returns when the proxy is ready; a postStart hook runs it
// to hold back the application.
func newWaitCommand() *cobra.Command {
	var (
		url                               string
		timeoutSeconds, period, reqMillis int
	)
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the proxy is ready",
		Args:  usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if period <= 0 || reqMillis <= 0 || timeoutSeconds <= 0 {
				return &usage.Error{Err: fmt.Errorf("wait: times must be greater than 0")}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Duration(timeoutSeconds)*time.Second)
			defer cancel()
			return waitReady(ctx, url, time.Duration(period)*time.Millisecond, time.Duration(reqMillis)*time.Millisecond)
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://localhost:15021/healthz/ready", "URL that answers 200 when the proxy is ready")
	cmd.Flags().IntVar(&timeoutSeconds, "timeoutSeconds", 60, "seconds to wait at most")
	cmd.Flags().IntVar(&period, "periodMillis", 500, "milliseconds between two requests")
	cmd.Flags().IntVar(&reqMillis, "requestTimeoutMillis", 500, "milliseconds to wait for one answer")
	return cmd
}

// waitReady asks until an answer is good or ctx ends; the error then is the last answer's.
func waitReady(ctx context.Context, url string, period, timeout time.Duration) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := request(attempt, io.Discard, "GET", url, "")
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the proxy is not ready: %w", err)
		case <-ticker.C:
		}
	}
}
