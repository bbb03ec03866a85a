package envoy

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// The oldest Envoy that knows every field of the API that the control plane is built with. An older
// one would leave out what it does not know, in silence.
const (
	minMajor = 1
	minMinor = 40
)

var versionPattern = regexp.MustCompile(`version:\s*[0-9a-f]+/(\d{1,4})\.(\d{1,4})\.(\d{1,4})(-[\w.-]+)?/`)

// Version asks a program for its version, such as 1.40.0, and refuses one that is too old.
func Version(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second // path may be a script, whose Envoy would hold the pipe
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("envoy %s: no answer to --version: %w", path, err)
	}
	return parseVersion(path, string(out))
}

func parseVersion(path, output string) (string, error) {
	m := versionPattern.FindStringSubmatch(output)
	if m == nil {
		return "", fmt.Errorf("envoy %s: --version gave %.100q, which is no version of Envoy", path, output)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	version := m[1] + "." + m[2] + "." + m[3] + m[4]
	if major < minMajor || major == minMajor && minor < minMinor {
		return "", fmt.Errorf("envoy %s is version %s, older than the API in use: install %d.%d or newer",
			path, version, minMajor, minMinor)
	}
	return version, nil
}
