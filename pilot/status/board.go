// Package status collects the problems that leave the stages of the control plane sideways, so
// that log, debug pages and object status tell the same. It decides nothing about configuration.
package status

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Board holds the present problems of every stage. It is safe for concurrent use.
type Board struct {
	log *slog.Logger

	mu     sync.Mutex
	stages map[string][]model.Problem
	// count tells how many stages report a problem, by what it says and not by its line, which
	// moves with every edit above it.
	count map[model.Problem]int
	// changed is closed and replaced when the problems change.
	changed chan struct{}
}

// New gives an empty board; logger may be nil for none.
func New(logger *slog.Logger) *Board {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Board{
		log: logger, stages: map[string][]model.Problem{},
		count: map[model.Problem]int{}, changed: make(chan struct{}),
	}
}

// withoutPlace gives what a problem says, wherever in its file it stands and whoever has it: both change while it lasts.
func withoutPlace(p model.Problem) model.Problem {
	p = p.OfAnyone()
	p.Origin.Line, p.Origin.AsOf = 0, 0
	return p
}

// Report replaces the problems of a stage, e.g. "source file" or "resolve". Each new problem is
// logged once, and so is the end of one.
func (b *Board) Report(stage string, problems []model.Problem) {
	next := slices.Clone(problems)
	for i := range next {
		next[i] = printable(next[i])
	}
	slices.SortFunc(next, compare)
	next = slices.Compact(next)

	b.mu.Lock()
	defer b.mu.Unlock()
	former := b.stages[stage]
	if slices.Equal(former, next) {
		return
	}
	before, after := distinct(former), distinct(next)
	for p := range after {
		if _, was := before[p]; !was {
			b.count[p]++
		}
	}
	for p := range before {
		if _, is := after[p]; is {
			continue
		}
		if b.count[p]--; b.count[p] == 0 {
			delete(b.count, p)
			b.log.Info("solved: "+p.Message, attributes(stage, before[p])...)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(after), compare) {
		if _, was := before[p]; !was && b.count[p] == 1 {
			b.log.Log(context.Background(), level(p), p.Message, attributes(stage, after[p])...)
		}
	}
	if len(next) == 0 {
		delete(b.stages, stage)
	} else {
		b.stages[stage] = next
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// printable gives a problem whose texts, which hold names and messages of proxies and of files, are only
// shown wherever they are printed.
func printable(p model.Problem) model.Problem {
	p.Object.Kind = model.Kind(model.Printable(string(p.Object.Kind)))
	for _, text := range []*string{&p.Object.Namespace, &p.Object.Name, &p.Field, &p.Message, &p.Origin.File} {
		*text = model.Printable(*text)
	}
	return p
}

// distinct gives the problems by what they say.
func distinct(problems []model.Problem) map[model.Problem]model.Problem {
	out := make(map[model.Problem]model.Problem, len(problems))
	for _, p := range problems {
		out[withoutPlace(p)] = p
	}
	return out
}

func level(p model.Problem) slog.Level {
	if p.Severity == model.SeverityError {
		return slog.LevelError
	}
	return slog.LevelWarn
}

func attributes(stage string, p model.Problem) []any {
	attrs := []any{slog.String("stage", stage), slog.String("reason", string(p.Reason))}
	if p.Object != (model.Key{}) {
		attrs = append(attrs, slog.String("object", p.Object.String()))
	}
	if p.Field != "" {
		attrs = append(attrs, slog.String("field", p.Field))
	}
	if p.Origin.File != "" {
		attrs = append(attrs, slog.String("file", p.Origin.File), slog.Int("line", p.Origin.Line))
	}
	if p.Scope != (model.Scope{}) {
		attrs = append(attrs, slog.String("for", p.Scope.String()))
	}
	return attrs
}

func compare(a, b model.Problem) int {
	if c := model.CompareProblems(a, b); c != 0 {
		return c
	}
	if a.Severity != b.Severity {
		if a.Severity == model.SeverityError {
			return -1
		}
		return 1
	}
	if a.Reason < b.Reason {
		return -1
	}
	if a.Reason > b.Reason {
		return 1
	}
	return 0
}

// Problems gives all present problems, each once, sorted by object, field and message.
func (b *Board) Problems() []model.Problem {
	b.mu.Lock()
	var all []model.Problem
	for _, problems := range b.stages {
		all = append(all, problems...)
	}
	b.mu.Unlock()
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// ByObject gives the present problems of one object, sorted.
func (b *Board) ByObject(key model.Key) []model.Problem {
	return slices.DeleteFunc(b.Problems(), func(p model.Problem) bool { return p.Object != key })
}

// Changed gives a channel that is closed at the next change of the problems.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}
