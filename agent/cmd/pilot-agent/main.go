// Command pilot-agent is the node side of the mesh: it runs beside each application (proxy), sets
// up the redirection of its traffic before it starts (istio-iptables), and answers small questions
// from inside the pod (request, wait).
//
// Exit codes:
//
//	0        an orderly end
//	1        a part of the agent failed, or the command did; the last line says which and why
//	2        the command line makes no sense
//	n        Envoy ended by itself with exit code n
//	128 + n  Envoy was ended by signal n; 137 (SIGKILL) mostly means that memory ran out
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

func main() {
	ctx, hurry := signals()
	root := newRootCommand(os.Args[1:], os.Environ(), hurry)
	root.SetArgs(os.Args[1:])
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(exitCode(err))
	}
}

func newRootCommand(args, environ []string, hurry <-chan struct{}) *cobra.Command {
	root := &cobra.Command{
		Use:           "pilot-agent",
		Short:         "The node side of the mesh",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newProxyCommand(args, environ, hurry), newWaitCommand(), newRequestCommand(environ),
		newIptablesCommand(), newVersionCommand())
	usage.Strict(root)
	return root
}

// signals gives a context that ends with the first SIGTERM or SIGINT, and a channel that closes with
// the second.
func signals() (context.Context, <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	hurry := make(chan struct{})
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGINT)
	go func() { // lives as long as the program
		<-received
		cancel()
		<-received
		close(hurry)
	}()
	return ctx, hurry
}
