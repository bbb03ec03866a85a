package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
)

func newValidate() *cobra.Command {
	a := &analysis{recursive: true}
	var names []string
	cmd := &cobra.Command{
		Use: "validate -f FILE|DIR [-f FILE|DIR...]", Aliases: []string{"v"}, Short: "Tell whether each object would be taken by the control plane",
		Long: `Tell whether the control plane would take each object in files and directories, without a mesh.

Every object is looked at for itself, by the code of the file source and of the validation
webhook. What it refuses is an error. What it takes and passes over, because it has no effect,
is a warning; so is an object that was read before under the same name. Directories are read with
all that are in them, as "pilotctl analyze -R" does. That command also compares the objects with
each other.

Exit codes: 0 no object has an error, 1 one has or a file cannot be read, 2 wrong usage.`,
		Example: "  pilotctl validate -f samples/bookinfo/bookinfo.yaml -f samples/bookinfo/networking/virtual-service-reviews-test-v2.yaml\n  kustomize build | pilotctl validate -f - -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(fmt.Errorf("what is %s? name files and directories with -f", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.validate(cmd, names) },
	}
	cmd.Flags().StringSliceVarP(&names, "filename", "f", nil, `file or directory to validate, or "-" for standard input; may be given several times`)
	cmd.Flags().StringVarP(&a.output, "output", "o", "log", "log, json or yaml")
	completion(cmd, "output", words("log", "json", "yaml"))
	completion(cmd, "filename", manifests)
	return cmd
}

// validate looks at each object of the files for itself.
func (a *analysis) validate(cmd *cobra.Command, names []string) error {
	if len(names) == 0 {
		return usageError(fmt.Errorf("what is to be validated? use -f FILE or -f DIR"))
	}
	if err := outputIs(a.output, "log", "json", "yaml"); err != nil {
		return err
	}
	files, err := a.files(cmd.InOrStdin(), names)
	if err != nil && !isUnread(err) {
		return err
	}
	found := analyze.Objects(files)
	if failed := a.print(cmd.OutOrStdout(), found); failed != nil || err != nil {
		return cmp.Or(failed, err)
	}
	if slices.ContainsFunc(found, func(f analyze.Finding) bool { return f.Level == analyze.Error }) {
		return fmt.Errorf("what is in %s is not valid", strings.Join(names, ", "))
	}
	return nil
}
