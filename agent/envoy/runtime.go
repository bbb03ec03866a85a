package envoy

import "context"

// SetRuntime sets a value of Envoy's runtime, until Envoy ends.
func (p *Process) SetRuntime(ctx context.Context, key, value string) error {
	return p.admin.setRuntime(ctx, key, value)
}
