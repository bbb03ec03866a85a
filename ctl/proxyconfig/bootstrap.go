package proxyconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// PrintBootstrap prints the bootstrap as Envoy read it; short gives who the proxy is and what it
// talks to.
func (d *Dump) PrintBootstrap(w io.Writer, format Format) error {
	if len(d.Bootstrap) == 0 {
		return errors.New("the dump has no bootstrap in it")
	}
	if format != Short {
		return document(w, format, d.Bootstrap)
	}
	var b struct {
		Bootstrap struct {
			Node struct {
				ID       string `json:"id"`
				Cluster  string `json:"cluster"`
				Metadata struct {
					Version string `json:"ISTIO_VERSION"`
				} `json:"metadata"`
				UserAgent string `json:"userAgentName"`
				Build     struct {
					Version struct {
						Major int `json:"majorNumber"`
						Minor int `json:"minorNumber"`
						Patch int `json:"patch"`
					} `json:"version"`
				} `json:"userAgentBuildVersion"`
			} `json:"node"`
		} `json:"bootstrap"`
	}
	if err := json.Unmarshal(d.Bootstrap, &b); err != nil {
		return err
	}
	n, v := b.Bootstrap.Node, b.Bootstrap.Node.Build.Version
	return table(w, 5, "NODE\tCLUSTER\tAGENT VERSION\tENVOY VERSION",
		[][]string{{n.ID, n.Cluster, n.Metadata.Version, fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)}})
}

// PrintLoggers prints pod.namespace and Envoy's loggers with their levels, as /logging gives them.
func PrintLoggers(w io.Writer, pod string, data []byte) error {
	_, err := fmt.Fprintf(w, "%s:\n%s\n", terminal.Text(pod), terminal.Lines(strings.TrimRight(string(data), "\n")))
	return err
}
