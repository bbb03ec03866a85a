package main

import (
	"bytes"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/legacy"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// newTranslate turns old objects into today's.
func newTranslate() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "translate -f FILE [-f FILE...]", Short: "Translate the security objects of Istio 1.5 and older to today's",
		Long: `Print, for the Policy, MeshPolicy, ClusterRbacConfig, RbacConfig, ServiceRole and ServiceRoleBinding
objects of files, the PeerAuthentications, RequestAuthentications and AuthorizationPolicies that mean the
same. Comments say what has no equal, which then allows nothing, and what is to be checked. Services in
the files tell which workloads are meant, since old objects name Services and new ones labels.`,
		Example: "  pilotctl translate -f old.yaml -f services.yaml > new.yaml",
		Args:    usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usageError(errors.New("name a file with -f; - is standard input"))
			}
			t := &legacy.Translator{}
			for _, name := range files {
				data, err := readText(cmd.InOrStdin(), name)
				if err != nil {
					return err
				}
				if err := t.Read(name, data); err != nil {
					return err
				}
			}
			var out bytes.Buffer
			if err := t.Write(&out); err != nil {
				return err
			}
			_, err := io.WriteString(cmd.OutOrStdout(), terminal.Lines(out.String()))
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "YAML to read, - for standard input; may be given several times")
	return cmd
}
