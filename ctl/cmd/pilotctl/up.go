package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// upOptions are the flags of up.
type upOptions struct {
	*options
	images, discovery, envoy string
	grpcAddr                 string
	egress, verbose          bool
	timeout, maxRestart      time.Duration
}

func newUp(o *options) *cobra.Command {
	u := &upOptions{options: o}
	cmd := &cobra.Command{
		Use: "up DIR [DIR...]", Short: "Run the Pods and Deployments of a directory in a mesh on this machine",
		Annotations: map[string]string{exitsWith: "3 this machine lacks what a mesh needs"},
		Long: `Run the Pods and Deployments of a directory in a mesh on this machine, until Ctrl-C.

Edits of the directory are live: changed rules within a second, changed workloads as soon as
their pods are ready. Needs root and what "make tools images" made.`,
		Args: usage.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return u.run(cmd, args) },
	}
	cmd.Flags().StringVar(&u.images, "images", beside("../.images"), "folder with image tarballs")
	cmd.Flags().StringVar(&u.discovery, "discovery", beside("pilot-discovery"), "the control plane's program")
	cmd.Flags().StringVar(&u.envoy, "envoy", "", "Envoy program to run in place of the one in the proxy's image")
	cmd.Flags().StringVar(&u.grpcAddr, "grpcAddr", "", "address of plaintext discovery without authentication, as :15010, which every pod can reach; empty for none")
	cmd.Flags().BoolVar(&u.egress, "egress", false, "pass unknown names on to this machine's nameservers and packets for elsewhere on to this machine, which has to forward them")
	cmd.Flags().BoolVar(&u.verbose, "verbose", false, "log what the local node does")
	cmd.Flags().DurationVar(&u.maxRestart, "maxContainerRestartPeriod", 5*time.Minute, "longest pause before a container that ends again and again is started anew")
	cmd.Flags().DurationVar(&u.timeout, "timeout", 0, "give up when the pods are not ready by then; 0 waits on")
	return cmd
}

// beside gives a path relative to this program.
func beside(path string) string {
	self, err := os.Executable()
	if err != nil {
		return path
	}
	return filepath.Join(filepath.Dir(self), path)
}

func (u *upOptions) run(cmd *cobra.Command, dirs []string) error {
	cfg, err := u.config(dirs)
	if err != nil {
		return err
	}
	if err := localnode.Preflight(cmd.Context(), cfg); err != nil {
		return &exitError{exitPreflight, err}
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	p := &progress{
		stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), options: u.options, began: time.Now(), ready: make(chan struct{}), said: map[string]time.Time{},
	}
	var shown sync.WaitGroup
	defer shown.Wait()
	defer cancel(nil)
	shown.Go(func() { p.showWhenReady(ctx) })
	cfg.Events = p.event
	if u.timeout > 0 {
		giveUp := time.AfterFunc(u.timeout, func() {
			if !p.isUp() {
				cancel(fmt.Errorf("the pods are not ready after %s: %s", u.timeout, p.lastWarning()))
			}
		})
		defer giveUp.Stop()
	}
	err = localnode.Up(ctx, cfg)
	if cause := context.Cause(ctx); cause != nil && cmd.Context().Err() == nil {
		return errors.Join(cause, ignoreCanceled(err))
	}
	return ignoreCanceled(err)
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// config gathers what the local node needs; every error is a sentence for the user.
func (u *upOptions) config(dirs []string) (localnode.Config, error) {
	cfg := localnode.Config{
		Name: u.name, StateRoot: u.stateRoot, DiscoveryBinary: u.discovery, Egress: u.egress, PlaintextAddr: u.grpcAddr, MaxRestartPeriod: u.maxRestart,
		Log: slog.New(slog.DiscardHandler),
	}
	if _, err := state.NewDir(u.stateRoot, u.name); err != nil {
		return cfg, err
	}
	if u.verbose {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return cfg, err
		}
		if info, err := os.Stat(abs); err != nil {
			return cfg, fmt.Errorf("directory %s cannot be read: %w", d, err)
		} else if !info.IsDir() {
			return cfg, usageError(fmt.Errorf("%s is not a directory: name the one that holds your YAML files", d))
		}
		cfg.Dirs = append(cfg.Dirs, abs)
	}
	if u.envoy != "" {
		if err := checkEnvoy(u.envoy); err != nil {
			return cfg, &exitError{exitPreflight, err}
		}
	}
	images, err := filepath.Glob(filepath.Join(u.images, "*.tar"))
	if err != nil {
		return cfg, err
	}
	if len(images) == 0 {
		return cfg, &exitError{exitPreflight, fmt.Errorf("no image tarballs in %s: run `make images`", u.images)}
	}
	cfg.Images = images
	if _, err := readAliases(cfg.Dirs); err != nil {
		return cfg, err
	}
	cfg.Aliases = func() (map[string]string, error) { return readAliases(cfg.Dirs) }
	cfg.Inject, err = injector(u.envoy)
	return cfg, err
}

// oldestEnvoy is the oldest minor version of Envoy 1 whose API has all that is configured.
const oldestEnvoy = 34

var envoyVersion = regexp.MustCompile(`/(\d+)\.(\d+)\.\d+`)

// checkEnvoy runs the program once to see that it is an Envoy, and new enough.
func checkEnvoy(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second // path may be a script, whose Envoy would hold the pipe
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("envoy %s does not run: %w", path, err)
	}
	m := envoyVersion.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("envoy %s does not tell a version: %.100q", path, out)
	}
	major, minor := string(m[1]), string(m[2])
	if n, err := strconv.Atoi(minor); err != nil || (major == "1" && n < oldestEnvoy) {
		return fmt.Errorf("envoy %s is version %s.%s, and the API in use needs 1.%d or newer: give another with --envoy", path, major, minor, oldestEnvoy)
	}
	return nil
}

// progress tells the user what happens: a line an event on stderr, and once all pods are ready the
// table on stdout. Events come from several goroutines.
type progress struct {
	*options
	stdout, stderr io.Writer
	began          time.Time

	ready chan struct{} // closed at EventUp

	mu      sync.Mutex
	up      bool
	warning string
	said    map[string]time.Time // warnings by text
}

// showWhenReady prints the table once all pods are ready and in service, while events go on.
func (p *progress) showWhenReady(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-p.ready:
	}
	m, err := p.open()
	if err != nil {
		fmt.Fprintln(p.stderr, "pilotctl:", terminal.Lines(err.Error()))
		return
	}
	defer m.close()
	d, err := openDashboard(ctx, m, 0)
	if err != nil {
		fmt.Fprintln(p.stderr, "pilotctl:", terminal.Lines(err.Error()))
		return
	}
	var page sync.WaitGroup
	defer page.Wait()
	page.Go(func() {
		if err := d.serve(ctx); err != nil {
			fmt.Fprintln(p.stderr, "pilotctl:", terminal.Lines(err.Error()))
		}
	})
	if err := p.table(ctx, m, d.url); err != nil && ctx.Err() == nil {
		fmt.Fprintln(p.stderr, "pilotctl:", terminal.Lines(err.Error()))
	}
	p.tellProblems(ctx, m)
}

func (p *progress) event(e localnode.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.began).Truncate(100 * time.Millisecond)
	switch {
	case e.Kind == localnode.EventUp:
		fmt.Fprintf(p.stderr, "[%6s] all pods are ready\n", took)
		if !p.up {
			p.up = true
			close(p.ready)
		}
	case e.Warning:
		p.warning = e.String()
		if p.saidJustNow(p.warning) {
			return
		}
		fmt.Fprintf(p.stderr, "[%6s] %s: %s\n", took, levelOf(e.Severity), terminal.Text(e.String()))
		for _, l := range e.LogTail {
			fmt.Fprintln(p.stderr, "           |", terminal.Lines(l))
		}
	default:
		fmt.Fprintf(p.stderr, "[%6s] %s\n", took, terminal.Text(e.String()))
	}
}

func (p *progress) isUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up
}

func (p *progress) lastWarning() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warning == "" {
		return "they are still starting"
	}
	return p.warning
}

// table prints the pods with their proxies' state, the page, the gateway, and what to try next.
func (p *progress) table(ctx context.Context, m *localMesh, page string) error {
	if err := waitServed(ctx, m); err != nil {
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(p.stderr, "pilotctl: warning:", terminal.Lines(err.Error())) // the table says the rest
	}
	if err := printPods(ctx, p.stdout, m); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.stdout, "\nPage: %s\n", page); err != nil {
		return err
	}
	name := ""
	if p.name != "default" {
		name = " --name " + p.name
	}
	url := m.GatewayURL()
	if url == "" {
		_, err := fmt.Fprintln(p.stdout, "no ingress gateway is running")
		return err
	}
	self := os.Args[0]
	_, err := fmt.Fprintf(p.stdout, "Gateway: %s\n\nTry:\n  curl %s/productpage\n  %s proxy-status%s\n"+
		"  edit a VirtualService in the directory: it is live within a second\n", url, url, self, name)
	return err
}
