package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// problemsEvery is how often `up` asks the control plane what is not in effect.
const problemsEvery = 500 * time.Millisecond

// readProblems gives what replicas of a control plane have to say about objects, each problem
// once and for all who have it, in the order in which they are told.
func readProblems(all []json.RawMessage) ([]debug.Problem, error) {
	out, told := []debug.Problem{}, map[model.Problem]int{} // the places in out
	for _, data := range all {
		var p debug.Problem
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("the control plane's answer is not a list of problems: %w", err)
		}
		same := p.Model().OfAnyProxy().OfAnyone()
		at, known := told[same]
		if !known {
			told[same] = len(out)
			out = append(out, p)
			continue
		}
		first := out[at].Model()
		first.Scope = first.Scope.Or(p.Model().Scope)
		out[at] = debug.ProblemOf(first)
	}
	return out, nil
}

// problems gives what the control plane has to say about objects, sorted.
func (m *localMesh) problems(ctx context.Context) ([]model.Problem, error) {
	all, _, err := m.lists(ctx, "/debug/problems")
	if err != nil {
		return nil, err
	}
	said, err := readProblems(all)
	var out []model.Problem
	for _, p := range said {
		out = append(out, p.Model())
	}
	return out, err
}

func newProblems(o *options) *cobra.Command {
	var output string
	at := place{options: o}
	cmd := &cobra.Command{
		Use: "problems", Short: "Objects that are not in effect, and why", Args: usage.Args(cobra.NoArgs),
		Long: `Objects that are not in effect, and why. In a cluster all replicas of the control plane are asked, since what a
proxy refuses is known to the replica that has the proxy; where one does not answer, that is said on stderr,
and the exit code is 1. Told as well are Gateways that no connected gateway serves, and pods of a local mesh
that wait for an image that cannot be had.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := proxyconfig.ParseFormat(output)
			if err != nil {
				return usageError(err)
			}
			m, err := at.reach()
			if err != nil {
				return err
			}
			defer m.close()
			return tellAll(cmd, m, format)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	at.register(cmd)
	return cmd
}

// tellAll prints the problems of a mesh.
func tellAll(cmd *cobra.Command, m reached, format proxyconfig.Format) error {
	all, silent, err := m.lists(cmd.Context(), "/debug/problems")
	if err != nil {
		return err
	}
	said, err := readProblems(all)
	if err != nil {
		return err
	}
	idle, unheard := idle(cmd.Context(), m)
	if len(silent) == 0 { // else that is said already
		silent = unheard
	}
	for _, p := range idle {
		said = append(said, debug.ProblemOf(p))
	}
	slices.SortStableFunc(said, func(a, b debug.Problem) int { return model.CompareProblems(a.Model(), b.Model()) })
	if err := printProblems(cmd.OutOrStdout(), format, said); err != nil {
		return err
	}
	return tellSilent(cmd, silent)
}

func printProblems(w io.Writer, format proxyconfig.Format, all []debug.Problem) error {
	if format != proxyconfig.Short {
		data, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return proxyconfig.PrintDocument(w, format, data)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no problems")
		return err
	}
	for _, p := range all {
		if _, err := fmt.Fprintf(w, "%s: %s\n", terminal.Text(p.Severity), terminal.Text(p.Model().String())); err != nil {
			return err
		}
	}
	return nil
}

// tellProblems prints each problem that the control plane finds, once for as long as it lasts. What
// the local node has found in the same files was said already.
func (p *progress) tellProblems(ctx context.Context, m *localMesh) {
	tick := time.NewTicker(problemsEvery)
	defer tick.Stop()
	var known troubles
	unserved := lasting{}
	for {
		// A control plane that is being started again has nothing to say for a moment.
		all, err := m.problems(ctx)
		idle, silent := idleGateways(ctx, m)
		if err == nil && len(silent) == 0 {
			fresh, solved := known.become(append(all, unserved.of(idle, time.Now())...))
			for _, problem := range fresh {
				p.tell(problem)
			}
			for _, about := range solved {
				p.say("the problems with " + about + " are solved")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// idleFor is how long a Gateway is served by nobody before `up` tells it: gateways come again after a restart.
const idleFor = 5 * time.Second

// lasting is since when there are problems.
type lasting map[model.Problem]time.Time

// of takes what the problems are now, and gives those that have lasted for long enough.
func (l lasting) of(all []model.Problem, now time.Time) []model.Problem {
	maps.DeleteFunc(l, func(p model.Problem, _ time.Time) bool { return !slices.Contains(all, p) })
	var out []model.Problem
	for _, p := range all {
		if _, known := l[p]; !known {
			l[p] = now
		}
		if now.Sub(l[p]) >= idleFor {
			out = append(out, p)
		}
	}
	return out
}

// troubles are the problems that last.
type troubles struct {
	texts map[string]bool
	about map[string]bool // objects, and files that do not parse
}

// become takes what the problems are now, and gives new ones, each text once, and what has none any more, sorted.
func (t *troubles) become(all []model.Problem) (fresh []model.Problem, solved []string) {
	now := troubles{map[string]bool{}, map[string]bool{}}
	for _, p := range all {
		text, about := p.String(), p.Object.String()
		if p.Object == (model.Key{}) {
			about = p.Origin.File
		}
		if !t.texts[text] && !now.texts[text] {
			fresh = append(fresh, p)
		}
		now.texts[text], now.about[about] = true, true
	}
	for _, about := range slices.Sorted(maps.Keys(t.about)) {
		if !now.about[about] {
			solved = append(solved, about)
		}
	}
	*t = now
	return fresh, solved
}

// Local node and control plane read the same files at about the same time; what both say within
// this time is printed once.
const sameNews = 3 * time.Second

// tell prints a problem that the control plane has found, with its level.
func (p *progress) tell(problem model.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := problem.String(); !p.saidJustNow(text) {
		fmt.Fprintf(p.stderr, "[%6s] %s: %s\n", time.Since(p.began).Truncate(100*time.Millisecond), levelOf(problem.Severity), terminal.Text(text))
	}
}

// levelOf gives the word for a severity in what goes on; a warning's where nothing is said.
func levelOf(severity model.Severity) string {
	return strings.ToLower(string(cmp.Or(severity, model.SeverityWarning)))
}

// say prints what is no warning.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.stderr, "[%6s] %s\n", time.Since(p.began).Truncate(100*time.Millisecond), terminal.Text(text))
}

// saidJustNow tells whether the warning was printed a moment ago, and notes that it now is. The
// lock is held.
func (p *progress) saidJustNow(text string) bool {
	at, said := p.said[text]
	p.said[text] = time.Now()
	return said && time.Since(at) < sameNews
}
