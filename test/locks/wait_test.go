package locks

import (
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// waiting tells of a function of another module whether it may wait; "" if not.
func waiting(name string) string {
	switch name {
	case "time.Sleep", "(*sync.WaitGroup).Wait", "(*sync.Cond).Wait", "(*golang.org/x/sync/errgroup.Group).Wait",
		"(*net/http.Client).Do", "net.Dial", "io.ReadAll",
		"os.ReadFile", "os.WriteFile", "os.Open", "os.OpenFile", "os.Stat", "os.ReadDir", "os.Rename", "os.Remove", "os.RemoveAll",
		"(*os/exec.Cmd).Run", "(*os/exec.Cmd).Output", "(*os/exec.Cmd).CombinedOutput", "(*os/exec.Cmd).Wait":
		return name
	}
	if strings.HasPrefix(name, "(google.golang.org/grpc.") && (strings.HasSuffix(name, ").SendMsg") || strings.HasSuffix(name, ").RecvMsg")) {
		return name
	}
	return ""
}

// starts tells of a function whether it only has another one begin.
func starts(name string) bool {
	switch name {
	case "(*sync.WaitGroup).Go", "(*golang.org/x/sync/errgroup.Group).Go", "time.AfterFunc", "context.AfterFunc":
		return true
	}
	return false
}

// never waits though it takes a context.
var never = []string{
	"context.", "log/slog.", "(*log/slog.", "google.golang.org/grpc/peer.", "google.golang.org/grpc/metadata.", "(log/slog.",
	"golang.org/x/sync/errgroup.WithContext", "k8s.io/klog/v2.", "net/http.NewRequestWithContext", "os/exec.CommandContext",
	"(go.opentelemetry.io/otel/trace.Tracer).", "os/signal.NotifyContext",
}

// byContext tells whether a call leaves the module with a context, which says that it may wait.
func byContext(c *ssa.CallCommon, name string) bool {
	params := c.Signature().Params()
	if name == "" || params.Len() == 0 {
		return false
	}
	first, ok := types.Unalias(params.At(0).Type()).(*types.Named)
	if !ok || first.Obj().Pkg() == nil || first.Obj().Pkg().Path() != "context" || first.Obj().Name() != "Context" {
		return false
	}
	for _, prefix := range never {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}
