package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// authorityStore is where a CA is, by which the steps of its root's rotation are asked for and followed.
type authorityStore interface {
	// status gives what the control plane wrote last, and whether it has looked at the last request.
	status(ctx context.Context) (s ca.Status, answered bool, err error)
	request(ctx context.Context, s ca.Step) error
	// withdraw takes a request back that nobody has looked at.
	withdraw(ctx context.Context) error
	// answer is how long a control plane may take to look at a request, silence says what is wrong where it takes longer.
	answer() time.Duration
	silence() error
}

// directoryStore is the CA of a machine.
type directoryStore string

func (d directoryStore) status(context.Context) (ca.Status, bool, error) {
	pending := ca.Pending(string(d)) // before the status, which is written first
	s, err := ca.ReadStatus(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no control plane keeps a CA in %s: give the directory of its --caDir by --dir", d)
	}
	return s, !pending, err
}

func (d directoryStore) request(_ context.Context, s ca.Step) error { return ca.Request(string(d), s) }

func (d directoryStore) withdraw(context.Context) error { return ca.Withdraw(string(d)) }
func (d directoryStore) answer() time.Duration          { return 15 * time.Second }
func (d directoryStore) silence() error {
	return fmt.Errorf("no control plane has looked at the request in %s: is one running with this --caDir?", string(d))
}

// secretStore is the CA of a cluster.
type secretStore struct{ *clusterMesh }

func (m secretStore) status(ctx context.Context) (ca.Status, bool, error) {
	plugged, err := m.secret(ctx, incluster.PluggedSecret)
	if err != nil || plugged != nil {
		s, pluggedErr := m.plugged(ctx, plugged)
		return s, true, errors.Join(err, pluggedErr)
	}
	own, err := m.secret(ctx, incluster.OwnSecret)
	if err != nil {
		return ca.Status{}, false, err
	}
	if own == nil {
		return ca.Status{}, false, fmt.Errorf("there is neither a Secret %s nor %s in namespace %s; -i names another one", incluster.OwnSecret, incluster.PluggedSecret, m.namespace)
	}
	s, answered, found, err := ca.Answered(own.Data)
	if err == nil && !found {
		err = fmt.Errorf("no control plane has looked at Secret %s/%s yet, or those that run are older than this pilotctl", m.namespace, own.Name)
	}
	return s, answered, err
}

// secret gives nil for none.
func (m secretStore) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	s, err := m.client.CoreV1().Secrets(m.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", m.namespace, name, err)
	}
	return s, nil
}

// plugged asks every replica who does not have the roots of a plugged-in CA yet; nobody writes that down.
func (m secretStore) plugged(ctx context.Context, s *corev1.Secret) (ca.Status, error) {
	if s == nil {
		return ca.Status{}, nil
	}
	var heard []ca.Heard
	pods, err := m.controlPlanes(ctx)
	if err != nil {
		return ca.Status{}, err
	}
	for _, p := range pods {
		var h ca.Heard
		page, err := m.ask(ctx, &p, debugPort, http.MethodGet, debug.RootsPath)
		if err == nil {
			h, err = debug.ReadRoots(page)
		}
		if err != nil {
			h.Silent = err.Error()
		}
		h.Replica = p.Name
		heard = append(heard, h)
	}
	return ca.StatusOf(incluster.Files(s), heard)
}

func (m secretStore) request(ctx context.Context, s ca.Step) error {
	plugged, err := m.secret(ctx, incluster.PluggedSecret)
	if err == nil && plugged != nil {
		err = fmt.Errorf("the Secret %s/%s: %w", m.namespace, plugged.Name, ca.ErrPlugged)
	}
	if err != nil {
		return err
	}
	return m.change(ctx, ca.Requested(s))
}

func (m secretStore) withdraw(ctx context.Context) error {
	return m.change(context.WithoutCancel(ctx), ca.Withdrawn())
}

// change changes one file of the Secret and leaves the others to the control plane.
func (m secretStore) change(ctx context.Context, c ca.Change) error {
	var value any
	if c.Data != nil {
		value = c.Data
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]any{c.Name: value}})
	if err != nil {
		return err
	}
	_, err = m.client.CoreV1().Secrets(m.namespace).Patch(ctx, incluster.OwnSecret, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "pilotctl"})
	if err != nil {
		return fmt.Errorf("ask by Secret %s/%s: %w", m.namespace, incluster.OwnSecret, err)
	}
	return nil
}

// answer has room for another replica to become the leader.
func (m secretStore) answer() time.Duration { return 40 * time.Second }

func (m secretStore) silence() error {
	return fmt.Errorf("no control plane has looked at the request in Secret %s/%s: does one run, and which holds the Lease %s?", m.namespace, incluster.OwnSecret, incluster.AuthorityLease)
}
