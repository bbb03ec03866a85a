package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
)

// versions are those of the parts of a mesh.
type versions struct {
	Client string `json:"clientVersion"`
	// Control has the replicas of control planes by version, Data the proxies by the version of their agents.
	Control map[string]int `json:"meshVersion,omitempty"`
	Data    map[string]int `json:"dataPlaneVersion,omitempty"`
}

func newVersion(o *options) *cobra.Command {
	p := place{options: o}
	var remote bool
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the versions of this program, and of the control planes and proxies of the mesh if there is one", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := proxyconfig.ParseFormat(output)
			if err != nil {
				return usageError(err)
			}
			v := versions{Client: version}
			if remote {
				if err := v.ask(cmd, &p); err != nil {
					return err
				}
			}
			if format != proxyconfig.Short {
				return printDocument(cmd.OutOrStdout(), format, v)
			}
			return v.print(cmd.OutOrStdout())
		},
	}
	p.register(cmd)
	cmd.Flags().BoolVar(&remote, "remote", true, "also ask the mesh")
	cmd.Flags().StringVarP(&output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	return cmd
}

// ask asks the mesh. Only where one was named it has to be there.
func (v *versions) ask(cmd *cobra.Command, p *place) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), answerTimeout)
	defer cancel()
	m, err := p.reach()
	named := p.cluster.kubeconfig != "" || p.cluster.context != ""
	if err != nil {
		if named {
			return err
		}
		return nil
	}
	defer m.close()
	if v.Control, err = m.versions(ctx); err != nil {
		if named {
			return err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "no control plane answers: "+terminal.Lines(err.Error()))
		return nil
	}
	data, err := m.control(ctx, "/debug/pilothouse/syncz")
	if err != nil {
		return err
	}
	var proxies []debug.ProxyStatus
	if err := json.Unmarshal(data, &proxies); err != nil {
		return fmt.Errorf("the list of proxies: %w", err)
	}
	v.Data = map[string]int{}
	for _, proxy := range proxies {
		v.Data[cmp.Or(proxy.Version, "unknown")]++
	}
	return nil
}

// print writes the versions as Istio's tool does.
func (v *versions) print(w io.Writer) error {
	fmt.Fprintln(w, "client version: "+v.Client)
	if v.Control == nil {
		return nil
	}
	var control, data []string
	for _, version := range slices.Sorted(maps.Keys(v.Control)) {
		control = append(control, terminal.Text(version))
	}
	for _, version := range slices.Sorted(maps.Keys(v.Data)) {
		data = append(data, fmt.Sprintf("%s (%d proxies)", terminal.Text(version), v.Data[version]))
	}
	if data == nil {
		data = []string{"none"}
	}
	_, err := fmt.Fprintf(w, "control plane version: %s\ndata plane version: %s\n", strings.Join(control, ", "), strings.Join(data, ", "))
	return err
}

// versions implements reached.
func (m *localMesh) versions(ctx context.Context) (map[string]int, error) {
	data, err := m.control(ctx, "/version")
	return map[string]int{strings.TrimSpace(string(data)): 1}, err
}

// versions implements reached: it asks each replica of each revision.
func (m *clusterMesh) versions(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	return out, m.each(ctx, "/version", func(data []byte) bool {
		out[strings.TrimSpace(string(data))]++
		return true
	})
}
