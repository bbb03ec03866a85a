package runtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
)

// A containerd that takes a call and never answers is not waited for without end.
func TestACallThatIsNotAnsweredEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.Context().Done():
				return errors.New("it is waited for without end")
			}
		}
		ended := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
		defer cancel()
		go func() {
			ended <- retryAway(context.WithoutCancel(ctx), "/runtime.v1.RuntimeService/RemovePodSandbox", nil, nil, nil, hang)
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Error("it is waited for without end")
		}
	})
}
