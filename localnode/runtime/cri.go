package runtime

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client speaks CRI to one containerd.
type Client struct {
	dir     string
	conn    *grpc.ClientConn
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

// Dial gives a client of the containerd in dir; it connects with the first call.
func Dial(dir string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+Socket(dir), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(retryAway),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("reach containerd: %w", err)
	}
	return &Client{dir: dir, conn: conn, runtime: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn)}, nil
}

// repeatable are the calls that may be made again when nobody knows what became of them.
var repeatable = []string{
	"ListPodSandbox", "PodSandboxStatus", "StopPodSandbox", "RemovePodSandbox",
	"ListContainers", "ContainerStatus", "StopContainer", "RemoveContainer", "ImageStatus",
}

// awayTimeout is how long a call waits for a containerd that is being started again.
const awayTimeout = 30 * time.Second

// callTimeout bounds a call of one who sets no bound, as a kubelet does: taking a mesh down has none, and would wait
// without end for a containerd that hangs.
const callTimeout = 2 * time.Minute

// retryAway makes a repeatable call again while containerd is being started again.
func retryAway(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	deadline := time.Now().Add(awayTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if !IsAway(err) || !slices.Contains(repeatable, path.Base(method)) || time.Now().After(deadline) {
			return err
		}
		conn.ResetConnectBackoff() // which is longer than a start
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// maxMessage is how many bytes containerd may send at once; the output of exec is in one message.
const maxMessage = 16 << 20

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Ready tells whether the runtime and the pods' network work.
func (c *Client) Ready(ctx context.Context) error {
	// containerd may bind its socket long before gRPC's back-off would try again.
	c.conn.ResetConnectBackoff()
	r, err := c.runtime.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return err
	}
	for _, cond := range r.GetStatus().GetConditions() {
		if !cond.GetStatus() {
			return fmt.Errorf("%s: %s", cond.GetReason(), cond.GetMessage())
		}
	}
	return nil
}

// HasImage tells whether an image of that name was imported.
func (c *Client) HasImage(ctx context.Context, image string) (bool, error) {
	r, err := c.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", image, err)
	}
	return r.GetImage() != nil, nil
}

// WaitImage waits until CRI knows an image that was imported beside it.
func (c *Client) WaitImage(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := c.HasImage(ctx, image)
		if err != nil || have {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("image %s was imported, but containerd does not list it: %w", image, ctx.Err())
		case <-tick.C:
		}
	}
}

const imageTimeout = 10 * time.Second

// RunSandbox makes the pod's sandbox and gives its id and IP address.
func (c *Client) RunSandbox(ctx context.Context, config *cri.PodSandboxConfig) (id, ip string, err error) {
	r, err := c.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return "", "", fmt.Errorf("make the pod's sandbox: %w", err)
	}
	id = r.GetPodSandboxId()
	st, err := c.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		return id, "", fmt.Errorf("read the pod's address: %w", err)
	}
	return id, st.GetStatus().GetNetwork().GetIp(), nil
}

// RemoveSandboxes stops and removes all sandboxes that bear the labels, with all of their
// containers: also one of which nobody was told, since containerd ended while it was made.
func (c *Client) RemoveSandboxes(ctx context.Context, labels map[string]string) error {
	r, err := c.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{LabelSelector: labels}})
	if err != nil {
		return fmt.Errorf("list the pod's sandboxes: %w", err)
	}
	for _, s := range r.GetItems() {
		if _, err := c.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: s.GetId()}); ignoreNotFound(err) != nil {
			return fmt.Errorf("stop the pod's sandbox: %w", err)
		}
		if _, err := c.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: s.GetId()}); ignoreNotFound(err) != nil {
			return fmt.Errorf("remove the pod's sandbox: %w", err)
		}
		_ = os.Remove(shimSocket(c.dir, s.GetId())) // gone with the shim, unless that was killed
	}
	return nil
}

// StartContainer makes and starts a container in the sandbox and gives its id.
func (c *Client) StartContainer(ctx context.Context, sandbox string, config *cri.ContainerConfig, pod *cri.PodSandboxConfig) (string, error) {
	r, err := c.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: config, SandboxConfig: pod})
	if err != nil {
		return "", fmt.Errorf("make container %s: %w", config.GetMetadata().GetName(), err)
	}
	id := r.GetContainerId()
	if _, err := c.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id}); err != nil {
		return id, fmt.Errorf("start container %s: %w", config.GetMetadata().GetName(), err)
	}
	return id, nil
}

// RemoveContainers removes all containers of the sandbox that bear the labels: those that have
// ended, and one of which nobody was told.
func (c *Client) RemoveContainers(ctx context.Context, sandbox string, labels map[string]string) error {
	r, err := c.runtime.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: sandbox, LabelSelector: labels}})
	if err != nil {
		return fmt.Errorf("list the pod's containers: %w", err)
	}
	for _, ct := range r.GetContainers() {
		if _, err := c.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: ct.GetId()}); ignoreNotFound(err) != nil {
			return fmt.Errorf("remove container: %w", err)
		}
	}
	return nil
}

// StopContainer sends the container's stop signal, and SIGKILL when grace has passed.
func (c *Client) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+callTimeout)
	defer cancel()
	seconds := int64((grace + time.Second - 1) / time.Second)
	_, err := c.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: seconds})
	if ignoreNotFound(err) != nil {
		return fmt.Errorf("stop container: %w", err)
	}
	return nil
}

// ReopenLog lets containerd write on at the path of a container's log, whose file was renamed.
func (c *Client) ReopenLog(ctx context.Context, id string) error {
	if _, err := c.runtime.ReopenContainerLog(ctx, &cri.ReopenContainerLogRequest{ContainerId: id}); ignoreNotFound(err) != nil {
		return fmt.Errorf("reopen the container's log: %w", err)
	}
	return nil
}

// ExitStatus is how a container ended, if it did.
type ExitStatus struct {
	Ended             bool
	Code              int32
	Reason, Message   string
	Started, Finished time.Time
}

// Exit gives how the container ended.
func (c *Client) Exit(ctx context.Context, id string) (ExitStatus, error) {
	r, err := c.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return ExitStatus{}, fmt.Errorf("read container's status: %w", err)
	}
	s := r.GetStatus()
	return ExitStatus{
		Ended: s.GetState() == cri.ContainerState_CONTAINER_EXITED,
		Code:  s.GetExitCode(), Reason: s.GetReason(), Message: s.GetMessage(),
		Started: time.Unix(0, s.GetStartedAt()), Finished: time.Unix(0, s.GetFinishedAt()),
	}, nil
}

// ExecSync runs a command in a container, and gives its output and exit code.
func (c *Client) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (output []byte, code int32, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+callTimeout)
	defer cancel()
	seconds := int64((timeout + time.Second - 1) / time.Second)
	r, err := c.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: seconds})
	if err != nil {
		return nil, 0, fmt.Errorf("run %q: %w", cmd, err)
	}
	return append(r.GetStdout(), r.GetStderr()...), r.GetExitCode(), nil
}

// Running gives the ids of all running containers and of all sandboxes that are ready.
func (c *Client) Running(ctx context.Context) (map[string]bool, error) {
	sandboxes, err := c.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{
		Filter: &cri.PodSandboxFilter{State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY}},
	})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := c.runtime.ListContainers(ctx, &cri.ListContainersRequest{
		Filter: &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}},
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	running := map[string]bool{}
	for _, s := range sandboxes.GetItems() {
		running[s.GetId()] = true
	}
	for _, ct := range containers.GetContainers() {
		running[ct.GetId()] = true
	}
	return running, nil
}

// IsAway tells whether a call failed since containerd is being started again, and not by what was
// asked of it.
func IsAway(err error) bool {
	if status.Code(err) == codes.Unavailable {
		return true
	}
	// What CRI says before it has taken its containers over, and what ctr says, have no code.
	return err != nil && (strings.Contains(err.Error(), "server is not initialized yet") || strings.Contains(err.Error(), socketName+": connect: "))
}

func ignoreNotFound(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}
