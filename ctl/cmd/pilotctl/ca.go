package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

const (
	// rotateEvery is how often a command looks how far a rotation is, and rotateAnswer how long a control
	// plane may take to look at a request.
	rotateEvery  = 200 * time.Millisecond
	rotateAnswer = 15 * time.Second
)

func newCA(o *options) *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "The certificate authority"}
	group(c)
	c.AddCommand(newRotate(o))
	return c
}

// rotation is a CA's directory, by which a rotation is asked for and followed.
type rotation struct {
	options *options
	dir     string
	output  string
	stderr  io.Writer
}

func newRotate(o *options) *cobra.Command {
	r := &rotation{options: o}
	c := &cobra.Command{
		Use: "rotate", Short: "Rotate the self-signed root to a new key, in stages",
		Long: `Rotate the self-signed root to a new key, in stages.

start    makes a new key and tells all proxies of its root. Once all have taken it, the control plane
         signs by the new key, and the agents renew their certificates within half a minute.
status   says how far it is, and which proxies are waited for.
sign     goes on to the new key; --force also where proxies have not taken its root. They would
         refuse the others, so that is for proxies that are gone or cannot take roots.
finish   drops the former root once no certificate of its key lives any more; --force at once.

The steps are asked for in the directory of the CA (--dir, or that of the local mesh), which only who
may read the key can write to. A rotation goes on where it was after a restart of the control plane.
A plugged-in CA is rotated by its files: both roots in root-cert.pem, then the new ca-cert.pem and
ca-key.pem, last the new root alone; the control plane follows them while it runs.

Exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage.`,
		Example: "  pilotctl ca rotate start\n  pilotctl ca rotate status\n  pilotctl ca rotate finish",
	}
	group(c)
	c.PersistentFlags().StringVar(&r.dir, "dir", "", "directory of the CA (pilot-discovery --caDir); that of the local mesh if empty")
	status := &cobra.Command{
		Use: "status", Short: "Say how far a rotation is", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.open(cmd); err != nil {
				return err
			}
			s, err := r.status()
			if err != nil {
				return err
			}
			return printRotation(cmd.OutOrStdout(), s, r.output)
		},
	}
	status.Flags().StringVarP(&r.output, "output", "o", "table", "table, json or yaml")
	start := &cobra.Command{
		Use: "start", Short: "Make a new key, and sign by it once all proxies trust its root", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.open(cmd); err != nil {
				return err
			}
			if _, err := r.ask(cmd.Context(), ca.Start); err != nil {
				return err
			}
			return r.follow(cmd.Context())
		},
	}
	c.AddCommand(start, status, r.step("sign", "Sign by the new key now", ca.Sign, ca.SignForced),
		r.step("finish", "Drop the former root", ca.Finish, ca.FinishForced))
	return c
}

// step is a command for one that is taken or refused at once.
func (r *rotation) step(use, short string, plain, forced ca.Step) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: use, Short: short, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.open(cmd); err != nil {
				return err
			}
			step := plain
			if force {
				step = forced
			}
			s, err := r.ask(cmd.Context(), step)
			if err != nil {
				return err
			}
			return printRotation(cmd.OutOrStdout(), s, "table")
		},
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for what the step waits for")
	return c
}

func (r *rotation) open(cmd *cobra.Command) error {
	r.stderr = cmd.ErrOrStderr()
	switch r.output {
	case "", "table", "json", "yaml":
	default:
		return usageError(fmt.Errorf("--output is table, json or yaml, not %q", r.output))
	}
	if r.dir != "" {
		return nil
	}
	m, err := r.options.open()
	if err != nil {
		return err
	}
	defer m.close()
	r.dir = m.CADir()
	return nil
}

func (r *rotation) status() (ca.Status, error) {
	s, err := ca.ReadStatus(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("no control plane keeps a CA in %s: give the directory of its --caDir by --dir", r.dir)
	}
	return s, err
}

// ask asks for a step, and waits until the control plane has looked at it.
func (r *rotation) ask(ctx context.Context, step ca.Step) (ca.Status, error) {
	s, err := r.status()
	if err != nil {
		return s, err
	}
	if err := ca.Request(r.dir, step); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, rotateAnswer)
	defer cancel()
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for ca.Pending(r.dir) {
		select {
		case <-ctx.Done():
			return s, errors.Join(
				fmt.Errorf("no control plane has looked at the request in %s: is one running with this --caDir?", r.dir), ca.Withdraw(r.dir))
		case <-tick.C:
		}
	}
	if s, err = r.status(); err == nil && s.Refused != "" {
		err = fmt.Errorf("refused: %s", s.Refused)
	}
	return s, err
}

// follow tells on stderr what a started rotation waits for, until the new key signs.
func (r *rotation) follow(ctx context.Context) error {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	said := ""
	for {
		s, err := r.status()
		if err != nil {
			return err
		}
		text := "all proxies trust the new root; the new key signs in some seconds"
		switch {
		case s.Stage == ca.Signing:
			_, err := fmt.Fprintf(r.stderr, "the new key signs; agents renew their certificates within half a minute\n"+
				"certificates of the former key end at %s: then `pilotctl ca rotate finish` drops its root\n", s.FormerUntil.Local().Format(time.DateTime))
			return err
		case s.Stage == ca.Steady:
			return errors.New("the rotation was finished meanwhile")
		case s.Proxies > 0:
			text = fmt.Sprintf("waiting for %d proxies to take the new root: %s", s.Proxies, terminal.Text(names(s)))
		}
		if text != said {
			fmt.Fprintln(r.stderr, text)
			said = text
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(r.stderr, "the rotation goes on by itself; `pilotctl ca rotate status` says how far it is")
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// names are those of the proxies that are waited for, which they give themselves.
func names(s ca.Status) string {
	out := strings.Join(s.Waiting, ", ")
	if more := s.Proxies - len(s.Waiting); more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

func printRotation(w io.Writer, s ca.Status, format string) error {
	if format == "json" || format == "yaml" {
		return printDocument(w, proxyconfig.Format(format), s)
	}
	rows := [][]string{}
	for _, root := range s.Roots {
		what := "trusted"
		if root == s.Signer {
			what = "trusted, signs"
		}
		rows = append(rows, []string{"ROOT", fmt.Sprintf("%s (%s)", root, what)})
	}
	if s.Proxies > 0 {
		rows = append(rows, []string{"WAITING FOR", names(s)})
	}
	if s.FormerUntil != nil {
		rows = append(rows, []string{"FORMER KEY'S LAST CERTIFICATE ENDS", s.FormerUntil.Local().Format(time.DateTime)})
	}
	return terminal.Table(w, 3, []string{"STAGE", string(s.Stage)}, rows)
}
