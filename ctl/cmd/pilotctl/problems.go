package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// problemsEvery is how often `up` asks the control plane what is not in effect.
const problemsEvery = 500 * time.Millisecond

// problems gives what the control plane has to say about objects, sorted.
func (m *localMesh) problems(ctx context.Context) ([]model.Problem, error) {
	data, err := m.control(ctx, "/debug/problems")
	if err != nil {
		return nil, err
	}
	var all []struct {
		Kind, Namespace, Name, Field, Severity, Reason, Message, File string
		Line                                                          int
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("the control plane's answer is not a list of problems: %w", err)
	}
	var out []model.Problem
	for _, p := range all {
		out = append(out, model.Problem{
			Object: model.Key{Kind: model.Kind(p.Kind), Namespace: p.Namespace, Name: p.Name}, Field: p.Field,
			Severity: model.Severity(p.Severity), Reason: model.Reason(p.Reason), Message: p.Message,
			Origin: model.Origin{File: p.File, Line: p.Line},
		})
	}
	return out, nil
}

func newProblems(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "problems", Short: "Objects that are not in effect, and why", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := o.open()
			if err != nil {
				return err
			}
			defer m.close()
			all, err := m.problems(cmd.Context())
			if err != nil {
				return err
			}
			if len(all) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "no problems")
				return err
			}
			for _, p := range all {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", p.Severity, terminal.Text(p.String())); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// tellProblems prints each problem that the control plane finds, once for as long as it lasts. What
// the local node has found in the same files was said already.
func (p *progress) tellProblems(ctx context.Context, m *localMesh) {
	tick := time.NewTicker(problemsEvery)
	defer tick.Stop()
	lasting := map[string]bool{}
	for {
		// A control plane that is being started again has nothing to say for a moment.
		if all, err := m.problems(ctx); err == nil {
			now := map[string]bool{}
			for _, problem := range all {
				text := problem.String()
				now[text] = true
				if !lasting[text] {
					p.tell(text)
				}
			}
			lasting = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Local node and control plane read the same files at about the same time; what both say within
// this time is printed once.
const sameNews = 3 * time.Second

// tell prints a warning of the control plane.
func (p *progress) tell(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.saidJustNow(text) {
		fmt.Fprintf(p.stderr, "[%6s] warning: %s\n", time.Since(p.began).Truncate(100*time.Millisecond), terminal.Text(text))
	}
}

// saidJustNow tells whether the warning was printed a moment ago, and notes that it now is. The
// lock is held.
func (p *progress) saidJustNow(text string) bool {
	at, said := p.said[text]
	p.said[text] = time.Now()
	return said && time.Since(at) < sameNews
}
