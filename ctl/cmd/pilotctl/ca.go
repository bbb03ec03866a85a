package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// rotateEvery is how often a command looks how far a rotation is.
const rotateEvery = 200 * time.Millisecond

func newCA(o *options) *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "The certificate authority"}
	usage.Group(c)
	c.AddCommand(newRotate(o))
	return c
}

// rotation is how one command asks for a rotation and follows it.
type rotation struct {
	place
	dir    string
	output string
	store  authorityStore
	stderr io.Writer
}

const rotateHelp = `Rotate the self-signed root to a new key, in stages.

steady        one key signs, and its root is trusted. start makes a new key, and leads to:
distributing  all are told of both roots, and the former key signs. Once all proxies have the new root, and in
              a cluster 2 minutes after the last namespace has it, or by sign --force, it goes on to:
signing       the new key signs, and both roots are trusted. finish leads back to steady, with the new root alone.

The commands:

start    makes a new key and tells all proxies of its root. Once all have taken it, the control plane
         signs by the new key, and the agents renew their certificates within half a minute.
status   says how far it is, as of when, and what is waited for: by replica, which proxies have not taken the roots,
         and which have not said that their certificate is of the new key.
sign     goes on to the new key; --force also where proxies have not taken its root. They would
         refuse the others, so that is for proxies that are gone or cannot take roots.
finish   drops the former root once all replicas and proxies have the new one, and no certificate of the
         former key lives or all proxies have said that theirs is of the new key; --wait waits for that,
         --force drops it at once and says what that breaks.

On one machine the steps are asked for in the directory of the CA (--dir, or that of the local mesh), in
a cluster in the Secret istio-ca-secret of the control plane's namespace; both only by who may write
there. The leader takes them, when every replica of every revision has answered. A rotation goes on where
it was after a restart of control planes. A plugged-in CA is rotated by its files, or those of the Secret
cacerts: both roots in root-cert.pem, then the new ca-cert.pem and ca-key.pem, last the new root alone; the
control plane follows them while it runs, and status says which proxies do not have the roots yet.

Exit codes: 0 done, 1 refused, failed or interrupted (the reason is printed), 2 wrong usage.`

func newRotate(o *options) *cobra.Command {
	r := &rotation{place: place{options: o}}
	c := &cobra.Command{
		Use: "rotate", Short: "Rotate the self-signed root to a new key, in stages", Long: rotateHelp,
		Example: "  pilotctl ca rotate start\n  pilotctl ca rotate status\n  pilotctl ca rotate finish --wait 2m",
	}
	usage.Group(c)
	r.register(c)
	c.PersistentFlags().StringVar(&r.dir, "dir", "", "directory of the CA (pilot-discovery --caDir); that of the local mesh, or the Secret of the cluster, if empty")
	status := &cobra.Command{
		Use: "status", Short: "Say how far a rotation is", Args: usage.Args(cobra.NoArgs),
		RunE: r.run(func(cmd *cobra.Command) error {
			s, _, err := r.store.status(cmd.Context())
			if err != nil {
				return err
			}
			return printRotation(cmd.OutOrStdout(), s, r.output)
		}),
	}
	status.Flags().StringVarP(&r.output, "output", "o", "table", "table, json or yaml")
	start := &cobra.Command{
		Use: "start", Short: "Make a new key, and sign by it once all proxies trust its root", Args: usage.Args(cobra.NoArgs),
		RunE: r.run(func(cmd *cobra.Command) error {
			if _, err := r.ask(cmd.Context(), ca.Start); err != nil {
				return err
			}
			return r.follow(cmd.Context())
		}),
	}
	c.AddCommand(start, status, r.sign(), r.finish())
	return c
}

// run opens the CA for a command.
func (r *rotation) run(f func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		r.stderr = cmd.ErrOrStderr()
		switch r.output {
		case "", "table", "json", "yaml":
		default:
			return usageError(fmt.Errorf("--output is table, json or yaml, not %q", r.output))
		}
		if r.dir != "" {
			if r.named() {
				return usageError(errors.New("--dir is a CA of this machine, and a cluster is named"))
			}
			r.store = directoryStore(r.dir)
			return f(cmd)
		}
		m, err := r.reach()
		if errors.Is(err, localnode.ErrNoMesh) {
			return fmt.Errorf("%w, or name the CA: --dir is that of a pilot-discovery (its --caDir), --kubeconfig that of a cluster", err)
		}
		if err != nil {
			return err
		}
		defer m.close()
		switch m := m.(type) {
		case *localMesh:
			r.store = directoryStore(m.CADir())
		case *clusterMesh:
			r.store = secretStore{m}
		default:
			return fmt.Errorf("a CA is not found by a %T", m)
		}
		return f(cmd)
	}
}

func (r *rotation) sign() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "sign", Short: "Sign by the new key now", Args: usage.Args(cobra.NoArgs),
		RunE: r.run(func(cmd *cobra.Command) error { return r.take(cmd, ca.Sign, ca.SignForced, force) }),
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for what the step waits for, and say what that breaks")
	return c
}

func (r *rotation) finish() *cobra.Command {
	var force bool
	var wait time.Duration
	c := &cobra.Command{
		Use: "finish", Short: "Drop the former root", Args: usage.Args(cobra.NoArgs),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case wait < 0:
				return usageError(fmt.Errorf("--wait is how long to wait, and not %s", wait))
			case force && cmd.Flags().Changed("wait"):
				return usageError(errors.New("--force does not wait: give either --wait or --force"))
			}
			return nil
		},
		RunE: r.run(func(cmd *cobra.Command) error { return r.drop(cmd, force, wait) }),
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for what the step waits for, and say what that breaks")
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long, at the most, until the former root may go")
	return c
}

// drop has the former root dropped, within a time where it may not go yet.
func (r *rotation) drop(cmd *cobra.Command, force bool, wait time.Duration) error {
	said := ""
	for deadline := time.Now().Add(wait); ; {
		err := r.take(cmd, ca.Finish, ca.FinishForced, force)
		var refused *refusal
		if !errors.As(err, &refused) || refused.stage != ca.Signing || time.Now().After(deadline) {
			return err
		}
		if said != refused.reason {
			said = refused.reason
			fmt.Fprintln(r.stderr, "waiting:", terminal.Text(said))
		}
		if pause(cmd.Context(), time.Second) != nil {
			return errors.New("interrupted; the former root is trusted yet, and `pilotctl ca rotate finish` drops it later")
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take has a step taken that is taken or refused at once.
func (r *rotation) take(cmd *cobra.Command, plain, forced ca.Step, force bool) error {
	step := plain
	if force {
		step = forced
	}
	s, err := r.ask(cmd.Context(), step)
	if err != nil {
		return err
	}
	if s.Broken != "" {
		fmt.Fprintln(r.stderr, "by force:", terminal.Text(s.Broken))
	}
	return printRotation(cmd.OutOrStdout(), s, "table")
}

// refusal is a step that was not taken.
type refusal struct {
	stage  ca.Stage
	reason string
}

func (r *refusal) Error() string { return "refused: " + r.reason }

// ask asks for a step, and waits until the control plane has looked at it.
func (r *rotation) ask(ctx context.Context, step ca.Step) (ca.Status, error) {
	s, _, err := r.store.status(ctx)
	if err != nil {
		return s, err
	}
	if err := r.store.request(ctx, step); err != nil {
		return s, err
	}
	for deadline := time.Now().Add(r.store.answer()); ; {
		s, answered, err := r.store.status(ctx)
		switch {
		case err == nil && answered && s.Request != step: // there is one request at a time, and it is gone
			return s, fmt.Errorf("the request %q was lost: another one took its place, and %q was answered last; ask again if it is still wanted", step, s.Request)
		case err == nil && answered && s.Refused != "":
			return s, &refusal{s.Stage, s.Refused}
		case err == nil && answered:
			return s, nil
		}
		if pause(ctx, rotateEvery) != nil {
			return s, errors.Join(errors.New("interrupted before an answer; the request is taken back"), r.store.withdraw(context.WithoutCancel(ctx)))
		}
		if time.Now().After(deadline) {
			return s, errors.Join(cmp.Or(err, r.store.silence()), r.store.withdraw(ctx))
		}
	}
}

// follow tells on stderr what a started rotation waits for, until the new key signs.
func (r *rotation) follow(ctx context.Context) error {
	said := ""
	for {
		s, _, err := r.store.status(ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted; the rotation goes on by itself, and `pilotctl ca rotate status` says how far it is")
		}
		if err != nil {
			return err
		}
		text := "all proxies trust the new root; the new key signs in some seconds"
		switch {
		case s.Stage == ca.Signing:
			_, err := fmt.Fprintln(r.stderr, signing(s))
			return err
		case s.Stage == ca.Steady:
			return errors.New("the rotation was finished meanwhile")
		case s.Silent(time.Now()):
			text = "the status is of " + s.Written.Local().Format(time.DateTime) + "; " + silent
		case s.Lacking() != "":
			text = "waiting: " + terminal.Text(s.Lacking())
		case s.DeliveredBy != nil && time.Now().Before(*s.DeliveredBy):
			text = "all proxies trust the new root; the new key signs when pods have it in their files too, after " + s.DeliveredBy.Local().Format(time.TimeOnly)
		}
		if text != said {
			fmt.Fprintln(r.stderr, text)
			said = text
		}
		_ = pause(ctx, rotateEvery) // its end is seen above
	}
}

// signing says what holds of the former root once the new key signs. Where nobody is connected, nobody can say that its
// certificate is new.
func signing(s ca.Status) string {
	if s.Proxies > 0 {
		return "the new key signs; agents renew their certificates within half a minute\n" +
			"`pilotctl ca rotate finish --wait 2m` drops the former root when all have"
	}
	until := " (`status` says when)"
	if s.FormerUntil != nil {
		until = " at " + s.FormerUntil.Local().Format(time.DateTime)
	}
	return "the new key signs; no proxy is connected that could say that its certificate is new\n" +
		"`pilotctl ca rotate finish` drops the former root once the last certificate of its key has ended" + until +
		", and `finish --force` at once"
}

func printRotation(w io.Writer, s ca.Status, format string) error {
	if format == "json" || format == "yaml" {
		return printDocument(w, proxyconfig.Format(format), s)
	}
	rows := [][]string{}
	if !s.Written.IsZero() {
		rows = append(rows, []string{"AS OF", asOf(s)})
	}
	for _, root := range s.Roots {
		what := "trusted"
		if root == s.Signer {
			what = "trusted, signs"
		}
		rows = append(rows, []string{"ROOT", fmt.Sprintf("%s (%s)", root, what)})
	}
	for _, at := range s.Waiting {
		of := strings.TrimSpace("WAITING FOR " + at.Replica)
		if at.Reason != "" {
			rows = append(rows, []string{of, terminal.Text(whose(at) + at.Reason)})
		}
		if at.Lacking.Count > 0 {
			rows = append(rows, []string{of, fmt.Sprintf("%d proxies without the roots: %s", at.Lacking.Count, terminal.Text(at.Lacking.String()))})
		}
		if at.Former.Count > 0 {
			rows = append(rows, []string{of, fmt.Sprintf("%d proxies with another certificate: %s", at.Former.Count, terminal.Text(at.Former.String()))})
		}
	}
	if s.Stage != ca.Steady && s.Proxies == 0 {
		rows = append(rows, []string{"PROXIES", "none is connected that could say what it has"})
	}
	if s.DeliveredBy != nil {
		rows = append(rows, []string{"PODS HAVE THE ROOTS", s.DeliveredBy.Local().Format(time.DateTime)})
	}
	if s.FormerUntil != nil {
		rows = append(rows, []string{"FORMER KEY'S LAST CERTIFICATE ENDS", s.FormerUntil.Local().Format(time.DateTime)})
	}
	rows = append(rows, []string{"NEXT", s.Next()})
	stage := fmt.Sprintf("%s (%s)", s.Stage, s.Stage.Meaning())
	if s.Plugged {
		stage = "plugged in"
	}
	return terminal.Table(w, 3, []string{"STAGE", stage}, rows)
}

// asOf says when a status was written, and whether that is too long ago.
func asOf(s ca.Status) string {
	now := time.Now()
	out := fmt.Sprintf("%s, %s ago", s.Written.Local().Format(time.DateTime), max(0, now.Sub(s.Written)).Truncate(time.Second))
	switch {
	case s.Silent(now):
		return out + "; " + silent
	case s.Stage == ca.Steady:
		return out + "; the control plane writes again when something changes"
	}
	return out
}

// silent is said of a control plane that should have written.
const silent = "the control plane has written nothing since: does it run?"

// whose names the control plane of a machine, which has no name. Of a cluster the row names the replica.
func whose(at ca.Waiting) string {
	if at.Replica == "" {
		return "the control plane: "
	}
	return ""
}
