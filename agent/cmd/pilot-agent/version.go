package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// version is the agent's release; the linker sets it.
var version = "dev"

// newVersionCommand gives the command that tells what this program is.
func newVersionCommand() *cobra.Command {
	var short bool
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell the agent's version",
		Args:  usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := versionInfo()
			switch {
			case output == "json":
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(info)
			case output != "":
				return &usage.Error{Err: fmt.Errorf("version: output %q is not json", output)}
			case short:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), info["version"])
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "pilot-agent %s (revision %s, %s), speaks for Istio %s\n",
				info["version"], info["revision"], info["golang_version"], info["istio_version"])
			return err
		},
	}
	cmd.Flags().BoolVarP(&short, "short", "s", false, "the version alone")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func versionInfo() map[string]string {
	info := map[string]string{
		"version": version, "revision": "unknown",
		"golang_version": runtime.Version(), "istio_version": bootstrap.IstioVersion,
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				info["revision"] = s.Value
			}
		}
	}
	return info
}
