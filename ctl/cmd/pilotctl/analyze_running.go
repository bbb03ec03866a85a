package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// ofRunning gives the findings about the mesh that runs, as it would be with files.
func (a *analysis) ofRunning(ctx context.Context, files []analyze.File) ([]analyze.Finding, error) {
	m, err := a.at.reach()
	if errors.Is(err, localnode.ErrNoMesh) {
		return nil, fmt.Errorf("%w, name a cluster by --kubeconfig, or name a directory or a file, for which none has to run", err)
	}
	if err != nil {
		return nil, err
	}
	defer m.close()
	return findingsOf(ctx, m, a.revision, files)
}

// findingsOf asks a control plane for what it has and says. All its replicas have to answer, since each alone knows
// what its proxies refuse.
func findingsOf(ctx context.Context, m reached, revision string, files []analyze.File) ([]analyze.Finding, error) {
	one, err := ofRevision(ctx, m, revision)
	if err != nil {
		return nil, err
	}
	running, err := readRunning(ctx, one)
	if err != nil {
		return nil, err
	}
	if _, local := m.(*localMesh); local {
		running.Read = file.Load
	}
	all, silent, err := one.lists(ctx, "/debug/problems")
	if err = errors.Join(append(silent, err)...); err != nil {
		return nil, err
	}
	reported, err := readProblems(all)
	if err != nil {
		return nil, err
	}
	var said []model.Problem
	for _, p := range reported {
		said = append(said, p.Model())
	}
	if len(files) == 0 { // else these may be what changes it
		unserved, silent := idle(ctx, m)
		if err := errors.Join(silent...); err != nil {
			return nil, err
		}
		said = append(said, unserved...)
	}
	return running.Findings(ctx, said, files)
}
