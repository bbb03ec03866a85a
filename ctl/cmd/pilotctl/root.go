package main

import (
	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// options are what every command for a local mesh takes.
type options struct {
	name      string // of the mesh
	stateRoot string
}

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "pilotctl",
		Short: "Run a service mesh on this machine, and see what it does",
		Long: `Run a service mesh on this machine, and see what it does.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 this machine lacks what a mesh needs,
4 proxy-status found a proxy that does not run what it was sent, 79 analyze found what is at
least as bad as --failure-threshold, or diff that something differs, 80 explain found that no
server gets the request, or authz explain that it is denied; exec exits with the command's own
code. The help of each command has its own.`,
		Example:      "  pilotctl up samples/bookinfo\n  pilotctl proxy-status\n  pilotctl proxy-config route productpage-v1.default",
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.PersistentFlags().StringVar(&o.name, "name", "default", "name of the local mesh")
	root.PersistentFlags().StringVar(&o.stateRoot, "state-root", "/run/pilothouse", "where local meshes keep their state")
	root.AddCommand(
		newUp(&o),
		newDown(&o),
		newExec(&o),
		newLogs(&o),
		newProxyStatus(&o),
		newProxyConfig(&o),
		newProblems(&o),
		newDashboard(&o),
		newTap(&o),
		newAnalyze(&o),
		newAuthn(&o),
		newValidate(),
		newAuthz(&o),
		newExplain(&o),
		newDiff(&o),
		newTranslate(),
		newBench(),
		newCA(&o),
		newInstall(),
		newUpgrade(),
		newUninstall(),
		newManifest(),
		newProfile(),
		newKubeInject(),
		newTag(),
		newVerifyInstall(),
		newDescribe(&o),
		newExperimental(&o),
		newVersion(&o),
	)
	usage.Strict(root)
	completeWords(root)
	tellExits(root)
	return root
}
