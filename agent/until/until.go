// Package until runs what serves until a context ends: the servers of the agent and of pilotctl end by it.
package until

import "context"

// Done calls serve until ctx ends, which is no error. stop makes serve return, and has returned itself before
// Done does. Where serve returns before, Done gives its error.
func Done(ctx context.Context, serve func() error, stop func()) error {
	stopped := make(chan struct{})
	unregister := context.AfterFunc(ctx, func() { defer close(stopped); stop() })
	err := serve()
	if !unregister() {
		<-stopped
		return nil
	}
	stop()
	return err
}
