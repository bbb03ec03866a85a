package agent

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// patches are what EnvoyFilters put over the bootstrap, which Envoy takes as it starts and no later.
type patches struct {
	cfg   Config
	fetch func(ctx context.Context, as *node.Node, typeURL string) ([]byte, error)
	// served tells that Envoy came as far as to ask for its configuration.
	served atomic.Bool
	// started is what Envoy was started with, and what of it it refused; nil where none was asked for.
	started atomic.Pointer[trial]
}

// trial is what Envoy was asked to start with.
type trial struct {
	all     *bootstrappb.Patches // nil for none
	merged  string               // of those that Envoy takes
	refused error                // why there are others; nil for none
}

// The control plane is asked again after firstWait, then after twice as long each time, up to lastWait.
const firstWait, lastWait = time.Second, 30 * time.Second

const (
	// maxTrial bounds how long a running proxy tries patches, while the stream waits. What takes longer is tried at
	// the start.
	maxTrial = 10 * time.Second
	// maxTried bounds how many patches are tried one by one.
	maxTried = 20
)

// args gives the arguments by which Envoy gets the patches and the user's override. They wait for the control
// plane, without which no proxy gets ready. Patches that Envoy refuses are left out.
func (p *patches) args(ctx context.Context) []string {
	if t := p.started.Load(); t != nil && t.refused != nil { // Envoy ended by them
		return envoy.Override(p.cfg.Envoy.Override)
	}
	t := &trial{merged: p.cfg.Envoy.Override}
	if all := p.await(ctx); len(all.GetPatches()) > 0 && ctx.Err() == nil {
		t = p.taken(ctx, all)
	}
	if t.refused != nil {
		p.cfg.Logger.Error("Envoy refuses some of what EnvoyFilters put over its bootstrap, and starts without", "error", t.refused)
	}
	p.started.Store(t)
	return envoy.Override(t.merged)
}

// taken finds the patches that Envoy takes: all, or, one after the other, those that it takes beside the ones before.
func (p *patches) taken(ctx context.Context, all *bootstrappb.Patches) *trial {
	t := &trial{all: all}
	if t.merged, t.refused = p.try(ctx, all.GetPatches()); t.refused == nil {
		return t
	}
	t.merged = p.cfg.Envoy.Override
	if len(all.GetPatches()) == 1 || len(all.GetPatches()) > maxTried {
		return t
	}
	var kept []*bootstrappb.Patch
	for _, one := range all.GetPatches() {
		if merged, err := p.try(ctx, append(kept, one)); err == nil {
			kept, t.merged = append(kept, one), merged
		}
	}
	return t
}

// try gives patches together with the user's override, and why Envoy would not start with both.
func (p *patches) try(ctx context.Context, some []*bootstrappb.Patch) (merged string, err error) {
	if merged, err = p.merge(some); err != nil {
		return "", err
	}
	args := append([]string{"-c", p.cfg.bootstrapFile(), "--allow-unknown-static-fields"}, envoy.Override(merged)...)
	return merged, envoy.Check(ctx, p.cfg.Proxy.BinaryPath, args...)
}

func (p *patches) merge(some []*bootstrappb.Patch) (merged string, err error) {
	merged = p.cfg.Envoy.Override
	for _, one := range some {
		if merged, err = bootstrap.Over(merged, one.GetJson()); err != nil {
			return "", err
		}
	}
	return merged, nil
}

// ended takes an Envoy's end, and tells whether it is to be started again, without patches: it ended before it asked
// for its configuration, as by an address that is taken, which only a start shows.
func (p *patches) ended(err error) bool {
	t := p.started.Load()
	if t == nil || len(t.all.GetPatches()) == 0 || t.refused != nil || p.served.Load() {
		return false
	}
	p.started.Store(&trial{all: t.all, merged: p.cfg.Envoy.Override, refused: err})
	p.cfg.Logger.Error("Envoy ended as it started with what EnvoyFilters put over its bootstrap, and starts without", "error", err)
	return true
}

// await gives the patches as the control plane has them, nil for none or where ctx ends before.
func (p *patches) await(ctx context.Context) *bootstrappb.Patches {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		all, err := p.ask(ctx)
		if err == nil || ctx.Err() != nil {
			return all
		}
		p.cfg.Logger.Warn("Envoy waits for what EnvoyFilters put over its bootstrap (BOOTSTRAP_XDS_AGENT)", "error", err, "again", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (p *patches) ask(ctx context.Context) (*bootstrappb.Patches, error) {
	start, err := os.ReadFile(p.cfg.bootstrapFile())
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	as, err := bootstrap.NodeOf(start)
	if err != nil {
		return nil, err
	}
	value, err := p.fetch(ctx, as, bootstrappb.Type)
	if err != nil {
		return nil, err
	}
	return patchesIn(value)
}

func patchesIn(value []byte) (*bootstrappb.Patches, error) {
	m := &bootstrappb.Patches{}
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, fmt.Errorf("patches of the bootstrap: %w", err)
	}
	return m, nil
}

// take answers for patches that come later. Those that Envoy refused, or would refuse when it is started again, are
// refused, so that whoever wrote them is told: the control plane takes what a proxy accepts for nobody's fault.
func (p *patches) take(value []byte) error {
	all, err := patchesIn(value)
	if err != nil {
		return err
	}
	t := p.started.Load() // who asks is an Envoy that was started
	if t.refused != nil && proto.Equal(all, t.all) {
		return fmt.Errorf("its Envoy has started without: %w", t.refused)
	}
	if merged, err := p.merge(all.GetPatches()); err == nil && merged == t.merged {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxTrial)
	defer cancel()
	if _, err := p.try(ctx, all.GetPatches()); err != nil && ctx.Err() == nil {
		return fmt.Errorf("its Envoy would start without: %w", err)
	}
	p.cfg.Logger.Info("what EnvoyFilters put over Envoy's bootstrap has changed, which acts when the proxy is started again")
	return nil
}
