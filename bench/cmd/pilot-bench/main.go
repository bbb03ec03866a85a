// Command pilot-bench measures a discovery server on a synthetic mesh, beside the floor that the
// same bytes cost. This package turns flags into bench.Options; bench does the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/bench"
)

// version is set when the program is built.
var version = "dev"

func main() {
	// What the clients hold is a large heap; collecting it often would take the server's CPU.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	root := command()
	root.AddCommand(&cobra.Command{
		Use: "floor CLIENTS COMMANDS", Short: "Serve recorded bytes: the yardstick.", Args: cobra.ExactArgs(2), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.ServeFloor(cmd.Context(), args[0], args[1])
		},
	})
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pilot-bench: "+err.Error())
		os.Exit(1)
	}
}

// flags are what the command line says.
type flags struct {
	bench.Options
	short, all          bool
	out, baseline, work string
	verbose             bool
}

func command() *cobra.Command {
	f := flags{Options: bench.Full()}
	cmd := &cobra.Command{
		Use: "pilot-bench", Short: "Measure a discovery server.", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	p := cmd.Flags()
	p.BoolVar(&f.short, "short", false, "a small mesh in under a minute; other sizes are ignored")
	p.BoolVar(&f.all, "all", false, "the full series, unscoped and scoped; other sizes are ignored")
	p.BoolVar(&f.Mesh.Scoped, "scoped", false, "a Sidecar in each namespace")
	p.StringVar(&f.Server, "server", "bin/pilot-discovery", "program to measure")
	p.StringVar(&f.out, "out", "", "directory for latest.json and plots; empty for none")
	p.StringVar(&f.baseline, "baseline", "", "file with the bounds to check against; empty for none")
	p.StringVar(&f.work, "work", "", "empty directory for meshes and logs; a temporary one that is removed, if empty")
	p.StringVar(&f.Profile, "cpuprofile", "", "file for a CPU profile of the server")
	p.StringVar(&f.ProfileScenario, "profile-scenario", "cold start", "scenario during which it is taken")
	p.DurationVar(&f.ProfileTime, "profile-time", 10*time.Second, "how long it is taken, from the scenario's start")
	p.IntVar(&f.Clients, "clients", f.Clients, "clients")
	p.IntVar(&f.ColdClients, "cold-clients", f.ColdClients, "clients of the cold start")
	p.IntVar(&f.SideClients, "side-clients", f.SideClients, "clients of the scenarios for SotW and for TLS")
	p.IntVar(&f.Repetitions, "repetitions", f.Repetitions, "how often each single change is made")
	p.DurationVar(&f.Storm, "storm", f.Storm, "how long changes come one after the other")
	p.IntVar(&f.Rate, "rate", f.Rate, "how many of them come in a second")
	p.IntVar(&f.Rollout, "rollout", f.Rollout, "pods that are replaced")
	p.Uint64Var(&f.Mesh.Seed, "seed", f.Mesh.Seed, "seed of the mesh")
	p.IntVar(&f.Mesh.Services, "services", f.Mesh.Services, "services")
	p.IntVar(&f.Mesh.Endpoints, "endpoints", f.Mesh.Endpoints, "endpoints of each service")
	p.IntVar(&f.Mesh.Namespaces, "namespaces", f.Mesh.Namespaces, "namespaces")
	p.IntVar(&f.Mesh.Zones, "zones", f.Mesh.Zones, "zones")
	p.IntVar(&f.Mesh.VirtualServices, "virtual-services", f.Mesh.VirtualServices, "VirtualServices")
	p.IntVar(&f.Mesh.DestinationRules, "destination-rules", f.Mesh.DestinationRules, "DestinationRules")
	p.StringArrayVar(&f.Scenarios, "scenario", nil, "scenario to run, may be repeated, of: "+strings.Join(bench.Scenarios(), "; "))
	p.BoolVarP(&f.verbose, "verbose", "v", false, "log each stream's end")
	return cmd
}

// series gives what is to be measured.
func (f *flags) series() []bench.Options {
	var list []bench.Options
	switch {
	case f.short:
		list = []bench.Options{bench.Short()}
	case f.all:
		list = []bench.Options{bench.Full(), bench.Scoped()}
	default:
		o := f.Options
		if o.Mesh.Scoped {
			o.Name = "scoped"
		}
		return []bench.Options{o}
	}
	for i := range list {
		list[i].Server, list[i].Scenarios = f.Server, or(f.Scenarios, list[i].Scenarios)
		list[i].Profile, list[i].ProfileScenario, list[i].ProfileTime = f.Profile, f.ProfileScenario, f.ProfileTime
	}
	return list
}

func or(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func (f *flags) run(cmd *cobra.Command) (err error) {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	if f.work == "" {
		if f.work, err = os.MkdirTemp("", "pilot-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(f.work)) }()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	report := &bench.Report{Date: time.Now(), Version: version, Machine: bench.ThisMachine()}
	for _, o := range f.series() {
		o.Dir, o.Floor, o.Log = filepath.Join(f.work, o.Name), []string{self, "floor"}, log
		s, err := bench.Run(cmd.Context(), o)
		if s != nil {
			report.Series = append(report.Series, s)
		}
		if err != nil {
			return errors.Join(err, report.Table(cmd.OutOrStdout()))
		}
	}
	if err := report.Table(cmd.OutOrStdout()); err != nil {
		return err
	}
	if f.out != "" {
		if err := report.Save(f.out); err != nil {
			return err
		}
	}
	if f.baseline != "" {
		return report.Check(f.baseline)
	}
	return nil
}
