package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// maxArgument bounds an argument of a program in bytes, as Linux does (MAX_ARG_STRLEN).
const maxArgument = 128<<10 - 1

// Check asks Envoy whether it would start with some arguments. It binds and asks nothing.
func Check(ctx context.Context, path string, args ...string) error {
	for _, arg := range args {
		if len(arg) > maxArgument {
			return fmt.Errorf("it has %d bytes, and no more than %d fit into an argument", len(arg), maxArgument)
		}
	}
	cmd := exec.CommandContext(ctx, path, append(args, "--mode", "validate")...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	// Envoy 1.40 crashes as it ends after it has accepted a shared scope of statistics.
	if strings.Contains(out.String(), "' OK") {
		return nil
	}
	for line := range strings.Lines(log.String()) {
		if _, reason, ok := strings.Cut(line, "error initializing configuration "); ok {
			reason, _, _ = strings.Cut(reason, "\tthread=")
			return errors.New(strings.TrimSpace(reason))
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}
