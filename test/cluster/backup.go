package cluster

import (
	"context"
	"errors"
	"os"
)

// data is where etcd keeps what the API server has.
func (c *cluster) data() string { return c.first().dir.Memory() + "/etcd" }

// backup copies what etcd has, which stands still meanwhile.
func (c *cluster) backup() error {
	stopped, err := c.procs.stop("etcd")
	if err != nil {
		return err
	}
	copied := os.RemoveAll(c.data() + ".backup")
	if copied == nil {
		copied = os.CopyFS(c.data()+".backup", os.DirFS(c.data()))
	}
	return errors.Join(copied, c.procs.again(stopped))
}

// restore has the API server go back to the last backup, as Kubernetes' documentation tells operators to: all of
// Kubernetes' own programs are started anew, since they would wait for versions that are no more. What else asks the API
// server goes on.
func (c *cluster) restore(ctx context.Context) error {
	server, err := c.procs.stop("kube-apiserver", "etcd")
	if err != nil {
		return err
	}
	others, err := c.procs.stop("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(c.data()); err != nil {
		return err
	}
	if err := os.CopyFS(c.data(), os.DirFS(c.data()+".backup")); err != nil {
		return err
	}
	// An API server waits for its etcd.
	if err := c.procs.again(server); err != nil {
		return err
	}
	if err := c.waitAPI(ctx); err != nil {
		return err
	}
	return c.procs.again(others)
}
