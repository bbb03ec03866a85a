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
	// started is what Envoy was started with, or refused.
	started atomic.Pointer[trial]
}

// trial is a text that Envoy was asked to start with; refused is nil where it did.
type trial struct {
	text    string
	refused error
}

// The control plane is asked again after firstWait, then after twice as long each time, up to lastWait.
const firstWait, lastWait = time.Second, 30 * time.Second

// maxTrial bounds how long a running proxy tries patches, while the stream waits. What takes longer is tried at the start.
const maxTrial = 10 * time.Second

// args gives the arguments by which Envoy gets the patches and the user's override. They wait for the control
// plane, without which no proxy gets ready, and are those of the override alone where Envoy refuses the patches.
func (p *patches) args(ctx context.Context) []string {
	override := p.cfg.Envoy.Override
	text := p.await(ctx)
	if text == "" || ctx.Err() != nil {
		return envoy.Override(override)
	}
	t := &trial{text: text}
	both, err := p.try(ctx, text)
	if t.refused = err; err != nil {
		p.cfg.Logger.Error("Envoy refuses what EnvoyFilters put over its bootstrap, and starts without", "error", err)
		both = override
	}
	p.started.Store(t)
	return envoy.Override(both)
}

// try gives patches together with the user's override, and why Envoy would not start with both.
func (p *patches) try(ctx context.Context, text string) (both string, err error) {
	if both, err = bootstrap.Over(p.cfg.Envoy.Override, text); err != nil {
		return "", err
	}
	args := append([]string{"-c", p.cfg.bootstrapFile(), "--allow-unknown-static-fields"}, envoy.Override(both)...)
	return both, envoy.Check(ctx, p.cfg.Proxy.BinaryPath, args...)
}

// await gives the patches as the control plane has them, "" for none or where ctx ends before.
func (p *patches) await(ctx context.Context) string {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		text, err := p.ask(ctx)
		if err == nil || ctx.Err() != nil {
			return text
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

func (p *patches) ask(ctx context.Context) (string, error) {
	start, err := os.ReadFile(p.cfg.bootstrapFile())
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	as, err := bootstrap.NodeOf(start)
	if err != nil {
		return "", err
	}
	value, err := p.fetch(ctx, as, bootstrappb.Type)
	if err != nil {
		return "", err
	}
	return textOf(value)
}

func textOf(value []byte) (string, error) {
	m := &bootstrappb.Patches{}
	if err := proto.Unmarshal(value, m); err != nil {
		return "", fmt.Errorf("patches of the bootstrap: %w", err)
	}
	return m.GetJson(), nil
}

// take answers for patches that come later. Those that Envoy refused, or would refuse when it is started again, are
// refused, so that whoever wrote them is told: the control plane takes what a proxy accepts for nobody's fault.
func (p *patches) take(value []byte) error {
	text, err := textOf(value)
	if err != nil {
		return err
	}
	t := p.started.Load()
	switch {
	case t == nil && text == "":
		return nil
	case t != nil && t.text == text && t.refused != nil:
		return fmt.Errorf("Envoy has started without: %w", t.refused)
	case t != nil && t.text == text:
		return nil
	case text != "":
		ctx, cancel := context.WithTimeout(context.Background(), maxTrial)
		defer cancel()
		if _, err := p.try(ctx, text); err != nil && ctx.Err() == nil {
			return fmt.Errorf("Envoy would start without: %w", err)
		}
	}
	p.cfg.Logger.Info("what EnvoyFilters put over Envoy's bootstrap has changed, which acts when the proxy is started again")
	return nil
}
