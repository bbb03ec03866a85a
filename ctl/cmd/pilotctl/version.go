package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
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
	var remote, short bool
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the versions of this program, and of the control planes and proxies of the mesh if there is one", Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := proxyconfig.ParseFormat(output)
			if err != nil {
				return usageError(err)
			}
			var m reached
			if remote {
				switch m, err = p.reach(); {
				case err == nil:
					defer m.close()
				case p.named():
					return err
				default:
					m = nil
				}
			}
			v := versions{Client: version}
			if !short {
				v.Client += fmt.Sprintf(" (%s, %s/%s)", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			}
			return v.tell(cmd, m, p.named(), format)
		},
	}
	p.register(cmd)
	cmd.Flags().BoolVar(&remote, "remote", true, "also ask the mesh")
	cmd.Flags().BoolVarP(&short, "short", "s", true, "leave out what this program was built by, and for which machine")
	cmd.Flags().StringVarP(&output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	return cmd
}

// tell prints the versions, of this program alone where m is nil, or where no control plane answers and none has to.
func (v versions) tell(cmd *cobra.Command, m reached, must bool, format proxyconfig.Format) error {
	alone := v
	var silent []error
	if m != nil {
		var err error
		if silent, err = v.ask(cmd.Context(), m); err != nil && must {
			return err
		}
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "no control plane answers: "+terminal.Lines(err.Error()))
			v = alone
		}
	}
	write := v.print
	if format != proxyconfig.Short {
		write = func(w io.Writer) error { return printDocument(w, format, v) }
	}
	if err := write(cmd.OutOrStdout()); err != nil {
		return err
	}
	return tellSilent(cmd, silent)
}

// ask asks the mesh. It gives why replicas of control planes did not answer.
func (v *versions) ask(ctx context.Context, m reached) (silent []error, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if v.Control, silent, err = m.versions(ctx); err != nil {
		return nil, err
	}
	all, alsoSilent, err := m.lists(ctx, "/debug/pilothouse/syncz")
	if err != nil {
		return nil, err
	}
	if len(silent) == 0 { // of one that is silent to both one word is enough
		silent = alsoSilent
	}
	v.Data = map[string]int{}
	for _, data := range all {
		var proxy debug.ProxyStatus
		if err := json.Unmarshal(data, &proxy); err != nil {
			return nil, fmt.Errorf("the list of proxies: %w", err)
		}
		v.Data[cmp.Or(proxy.Version, "unknown")]++
	}
	return silent, nil
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
func (m *localMesh) versions(ctx context.Context) (map[string]int, []error, error) {
	data, err := m.control(ctx, "/version")
	return map[string]int{strings.TrimSpace(string(data)): 1}, nil, err
}

// versions implements reached: it asks each replica of each revision.
func (m *clusterMesh) versions(ctx context.Context) (map[string]int, []error, error) {
	out := map[string]int{}
	silent, err := m.each(ctx, "/version", func(data []byte) bool {
		out[strings.TrimSpace(string(data))]++
		return true
	})
	return out, silent, err
}
