package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/bench"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	custom                            bench.Options
	series                            []string
	short, verbose                    bool
	output, out, baseline, bound, dir string
	before, compare                   string
}

// custom is the series of those who size their own mesh: shorter than those of the project's goals.
func custom() bench.Options {
	o := bench.Unscoped()
	o.Name, o.ColdClients, o.SideClients, o.Repetitions, o.Storm, o.Rollout = "custom", 0, 50, 10, 10*time.Second, 200
	return o
}

func newBench() *cobra.Command {
	b := &benchOptions{custom: custom()}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the control plane with a synthetic mesh and simulated proxies",
		Long: `Measure the control plane with a synthetic mesh and simulated proxies.

Runs pilot-discovery on a mesh of the given size, lets proxies connect over loopback, changes
files, and tells how long it takes until all proxies have acknowledged and what it costs, beside
what the same bytes cost a server that does nothing else (F). Progress goes to stderr.

Exit codes: 0 measured; 1 a scenario failed or is beyond the baseline, and the rest is printed all
the same; 2 wrong usage; 3 there is no pilot-discovery.`,
		Example: "  pilotctl bench --kubeconfig kubeconfig --services 200 --clients 200\n" +
			"  pilotctl bench --services 200 --endpoints 5 --clients 300\n" +
			"  pilotctl bench --scoped --clients 5000 --scenario 'cold start' -o json\n" +
			"  pilotctl bench --scenario 'route, all' --cpuprofile cpu.prof",
		Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd) },
	}
	b.meshFlags(cmd)
	b.outputFlags(cmd)
	cmd.AddCommand(newFloor(), newInformers())
	return cmd
}

// sizes are the flags that make up a series of one's own.
var sizes = []string{
	"services", "endpoints", "namespaces", "zones", "virtual-services", "destination-rules", "scoped", "seed", "gateways",
	"gateway-servers", "gateway-routes", "gateway-replicas", "clients", "cold-clients", "side-clients", "repetitions", "storm", "rate", "rollout",
}

func (b *benchOptions) meshFlags(cmd *cobra.Command) {
	f, o := cmd.Flags(), &b.custom
	f.IntVar(&o.Mesh.Services, "services", o.Mesh.Services, "services")
	f.IntVar(&o.Mesh.Endpoints, "endpoints", o.Mesh.Endpoints, "pods of each service")
	f.IntVar(&o.Mesh.Namespaces, "namespaces", o.Mesh.Namespaces, "namespaces, at most a quarter of the services")
	f.IntVar(&o.Mesh.Zones, "zones", o.Mesh.Zones, "zones that the pods are in")
	f.IntVar(&o.Mesh.VirtualServices, "virtual-services", o.Mesh.VirtualServices, "VirtualServices")
	f.IntVar(&o.Mesh.DestinationRules, "destination-rules", o.Mesh.DestinationRules, "DestinationRules")
	f.BoolVar(&o.Mesh.Scoped, "scoped", false, "a Sidecar in each namespace, so that proxies see their own namespace only")
	g := &o.Mesh.Gateways
	f.IntVar(&g.Count, "gateways", 0, "gateways, whose pods are the simulated proxies if there are any")
	f.IntVar(&g.Servers, "gateway-servers", 50, "servers of each gateway")
	f.IntVar(&g.Routes, "gateway-routes", 500, "VirtualServices that are bound to each gateway")
	f.IntVar(&g.Replicas, "gateway-replicas", 10, "pods of each gateway")
	f.Uint64Var(&o.Mesh.Seed, "seed", o.Mesh.Seed, "seed of the mesh")
	f.IntVar(&o.Clients, "clients", o.Clients, "simulated proxies")
	f.IntVar(&o.ColdClients, "cold-clients", 0, "proxies of the cold start, 0 for as many as --clients")
	f.IntVar(&o.SideClients, "side-clients", o.SideClients, "proxies of the scenarios for the other protocol and for TLS")
	f.IntVar(&o.Repetitions, "repetitions", o.Repetitions, "how often each single change is made")
	f.DurationVar(&o.Storm, "storm", o.Storm, "how long changes come one after the other")
	f.IntVar(&o.Rate, "rate", o.Rate, "how many of them come in a second")
	f.IntVar(&o.Rollout, "rollout", o.Rollout, "pods that are replaced")
	f.StringArrayVar(&o.Scenarios, "scenario", nil, "run this scenario, may be repeated; all if not given")
	f.StringSliceVar(&b.series, "series", nil, "run these series in place of a mesh of your own: "+strings.Join(bench.SeriesNames(), ", "))
	f.BoolVar(&b.short, "short", false, "the same as --series short")
	b.clusterFlags(cmd)
	completion(cmd, "scenario", completeFrom(bench.Scenarios()))
	completion(cmd, "series", completeFrom(bench.SeriesNames()))
}

func (b *benchOptions) outputFlags(cmd *cobra.Command) {
	f, p := cmd.Flags(), &b.custom.Profile
	f.StringVar(&b.custom.Server, "server", "", "program to measure; pilot-discovery beside this one or on the PATH, if empty")
	f.StringVar(&b.before, "before", "", "another program, which is measured first in each series, to compare with")
	f.StringVar(&b.compare, "compare", "", "JSON of a former run to compare with")
	f.StringVarP(&b.output, "output", "o", "table", "table or json")
	f.StringVar(&b.out, "out", "", "directory for latest.json, goals.md and plots; what it holds of other series stays")
	f.StringVar(&b.baseline, "baseline", "", "file with bounds on allocations, bytes and ratios to check against")
	f.StringVar(&b.bound, "write-baseline", "", "file to write such bounds into, from what was measured")
	f.StringVar(&b.dir, "work", "", "empty directory for meshes and logs; a temporary one that is removed, if empty")
	f.StringVar(&p.CPU, "cpuprofile", "", "file for a CPU profile of the server")
	f.StringVar(&p.Memory, "memprofile", "", "file for a heap profile of the server")
	f.StringVar(&p.Clients, "clients-cpuprofile", "", "file for a CPU profile of the simulated proxies")
	f.StringVar(&p.Scenario, "profile-scenario", "", "scenario during which profiles are taken; the one of --scenario, else the cold start")
	f.DurationVar(&p.Time, "profile-time", 10*time.Second, "how long the server's CPU profile is, from the scenario's start")
	f.BoolVarP(&b.verbose, "verbose", "v", false, "log each stream's end")
	completion(cmd, "output", completeFrom([]string{"table", "json"}))
	completion(cmd, "profile-scenario", completeFrom(bench.Scenarios()))
}

// completeFrom completes with a fixed list.
func completeFrom(list []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// newFloor is the yardstick's process, which bench starts.
func newFloor() *cobra.Command {
	return &cobra.Command{
		Use: "floor PLAIN SECURE COMMANDS DIR", Short: "Serve recorded bytes: the yardstick of bench", Hidden: true,
		Args: usage.Args(cobra.ExactArgs(4)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return bench.ServeFloor(cmd.Context(), a[0], a[1], a[2], a[3])
		},
	}
}

// plan gives the series to run.
func (b *benchOptions) plan() ([]bench.Options, error) {
	if b.short {
		b.series = []string{bench.Short().Name}
	}
	if g := &b.custom.Mesh.Gateways; g.Count > 0 {
		b.custom.Clients = g.Len()
	} else {
		*g = mesh.Gateways{}
	}
	list := []bench.Options{b.custom}
	if len(b.series) > 0 {
		list = nil
	}
	for _, name := range b.series {
		found := bench.Series(name)
		if len(found) == 0 {
			return nil, usageError(fmt.Errorf("--series %s: use %s", name, strings.Join(bench.SeriesNames(), ", ")))
		}
		list = append(list, found...)
	}
	for _, s := range b.custom.Scenarios {
		if !slices.Contains(bench.Scenarios(), s) {
			return nil, usageError(fmt.Errorf("--scenario %q: use one of: %s", s, strings.Join(bench.Scenarios(), "; ")))
		}
	}
	if err := b.checkCluster(list); err != nil {
		return nil, err
	}
	server, err := b.server()
	if err != nil {
		return nil, err
	}
	for i := range list {
		o := &list[i]
		o.Server, o.Profile, o.Kubeconfig = server, b.profile(), b.custom.Kubeconfig
		if len(b.custom.Scenarios) > 0 {
			o.Scenarios = b.custom.Scenarios
		}
		if o.ColdClients == 0 {
			o.ColdClients = o.Clients
		}
		o.SideClients = min(o.SideClients, o.Clients)
	}
	return list, nil
}

func (b *benchOptions) profile() bench.Profile {
	p := b.custom.Profile
	if p.CPU+p.Memory+p.Clients == "" {
		return bench.Profile{}
	}
	if p.Scenario == "" {
		p.Scenario = "cold start"
		if len(b.custom.Scenarios) > 0 {
			p.Scenario = b.custom.Scenarios[0]
		}
	}
	return p
}

// server finds the program to measure.
func (b *benchOptions) server() (string, error) {
	name := b.custom.Server
	if name == "" {
		if name = beside("pilot-discovery"); !executable(name) {
			name = "pilot-discovery"
		}
	}
	return program("--server", name)
}

func program(flag, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &exitError{exitPreflight, fmt.Errorf("no control plane to measure, see %s: %w", flag, err)}
	}
	return filepath.Abs(path)
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}

func (b *benchOptions) run(cmd *cobra.Command) (err error) {
	if b.output != "table" && b.output != "json" {
		return usageError(fmt.Errorf("-o %s: use table or json", b.output))
	}
	for _, size := range sizes {
		if (b.short || len(b.series) > 0) && cmd.Flags().Changed(size) {
			return usageError(fmt.Errorf("--%s is fixed in the series that --series and --short name", size))
		}
	}
	report := &bench.Report{Machine: bench.ThisMachine()}
	if err := b.openBefore(report); err != nil {
		return err
	}
	list, err := b.plan()
	if err != nil {
		return err
	}
	// What the clients hold is a large heap; collecting it often would take the server's CPU.
	debug.SetGCPercent(400)
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "pilotctl-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	level := slog.LevelInfo
	if b.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	for _, o := range list {
		o.Log = log
		if err := b.measureBefore(cmd.Context(), o, report); err != nil {
			return errors.Join(err, b.print(cmd, report))
		}
		if err := b.measure(cmd.Context(), o, report); err != nil {
			return errors.Join(err, b.print(cmd, report))
		}
	}
	return errors.Join(b.print(cmd, report), b.judge(report))
}

// openBefore finds what to compare with, if that is asked for.
func (b *benchOptions) openBefore(report *bench.Report) (err error) {
	if b.before != "" && b.compare != "" {
		return usageError(errors.New("--before and --compare exclude each other"))
	}
	if b.compare != "" {
		former, err := bench.ReadReport(b.compare)
		if err != nil {
			return usageError(fmt.Errorf("--compare: %w", err))
		}
		report.Before = former.Series
	}
	if b.before != "" {
		b.before, err = program("--before", b.before)
	}
	return err
}

// measureBefore runs a series on the other program, if there is one.
func (b *benchOptions) measureBefore(ctx context.Context, o bench.Options, report *bench.Report) error {
	if b.before == "" {
		return nil
	}
	o.Server, o.Profile = b.before, bench.Profile{}
	measured, err := b.runSeries(ctx, o, "before")
	if measured != nil {
		measured.Version = b.before
		report.Before = append(report.Before, measured)
	}
	return err
}

// runSeries runs one in a directory of its own.
func (b *benchOptions) runSeries(ctx context.Context, o bench.Options, dir string) (*bench.Measured, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o.Dir, o.Floor = filepath.Join(b.dir, o.Name, dir), []string{self, "bench", "floor"}
	o.Informers = []string{self, "bench", "informers"}
	return bench.Run(ctx, o)
}

// measure runs a series and saves it, unless it was broken off: what is there of a former run is
// worth more.
func (b *benchOptions) measure(ctx context.Context, o bench.Options, report *bench.Report) error {
	measured, err := b.runSeries(ctx, o, "after")
	if measured == nil {
		return err
	}
	measured.Version = version
	report.Add(measured)
	if err != nil || b.out == "" {
		return err
	}
	kept, err := bench.Open(b.out)
	if err != nil {
		return err
	}
	kept.Add(measured)
	return kept.Save(b.out)
}

func (b *benchOptions) print(cmd *cobra.Command, report *bench.Report) error {
	if b.output == "table" {
		return report.Table(cmd.OutOrStdout())
	}
	text, err := report.JSON()
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

// judge makes errors of scenarios that failed, and of what is beyond the baseline.
func (b *benchOptions) judge(report *bench.Report) error {
	if b.bound != "" {
		if err := bench.NewBaseline(report.Series).Write(b.bound); err != nil {
			return err
		}
	}
	if b.baseline != "" {
		baseline, err := bench.ReadBaseline(b.baseline)
		if err != nil {
			return err
		}
		return baseline.Check(report.Series)
	}
	if failed := report.Failed(); len(failed) > 0 {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}
