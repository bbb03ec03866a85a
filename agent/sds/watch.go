package sds

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// maxNames bounds what one stream may subscribe to.
const maxNames = 256

// gone stands for the version of a name that was answered by a removal.
const gone = "\x00removed"

// update is what one response carries.
type update struct {
	nonce     string
	resources []*node.Resource
	removed   []string
}

// bare gives the resources as the state of the world has them, without names and versions.
func (u *update) bare() []*node.Any {
	var all []*node.Any
	for _, r := range u.resources {
		all = append(all, r.GetResource())
	}
	return all
}

// watch is what one stream has asked for and has been sent.
type watch struct {
	secrets   Secrets
	log       *slog.Logger
	delta     bool          // only delta has a word for a removal
	requested chan struct{} // holds a word when there may be something to send

	mu    sync.Mutex
	names []string          // in order of name
	sent  map[string]string // name to version
	nonce uint64            // of the last response
}

func newWatch(secrets Secrets, log *slog.Logger, delta bool) *watch {
	return &watch{
		secrets: secrets, log: log, delta: delta,
		requested: make(chan struct{}, 1), sent: map[string]string{},
	}
}

func (w *watch) wake() {
	select {
	case w.requested <- struct{}{}:
	default:
	}
}

func checkType(url string) error {
	if url != "" && url != secretType {
		return status.Errorf(codes.InvalidArgument, "this is SDS, it has no %q", url)
	}
	return nil
}

// request takes a state-of-the-world request: its names replace those before.
func (w *watch) request(req *node.DiscoveryRequest) error {
	if err := checkType(req.GetTypeUrl()); err != nil {
		return err
	}
	w.acknowledge(req.GetResponseNonce(), req.GetErrorDetail().GetMessage(), req.GetErrorDetail() != nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := req.GetResponseNonce(); n != "" && w.nonce != 0 && n != strconv.FormatUint(w.nonce, 10) {
		return nil // stale: a request for the newer response is on its way
	}
	names := slices.Clone(req.GetResourceNames())
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxNames {
		return status.Errorf(codes.InvalidArgument, "more than %d names", maxNames)
	}
	if slices.Equal(names, w.names) {
		return nil
	}
	for name := range w.sent {
		if _, ok := slices.BinarySearch(names, name); !ok {
			delete(w.sent, name)
		}
	}
	w.names = names
	w.wake()
	return nil
}

// deltaRequest takes an incremental request: subscriptions first, whatever else it says. A name
// that is asked for again is answered again.
func (w *watch) deltaRequest(req *node.DeltaDiscoveryRequest) error {
	if err := checkType(req.GetTypeUrl()); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range req.GetResourceNamesUnsubscribe() {
		delete(w.sent, name)
		if i, ok := slices.BinarySearch(w.names, name); ok {
			w.names = slices.Delete(w.names, i, i+1)
		}
	}
	for _, name := range req.GetResourceNamesSubscribe() {
		delete(w.sent, name)
		if i, ok := slices.BinarySearch(w.names, name); !ok {
			w.names = slices.Insert(w.names, i, name)
		}
	}
	if len(w.names) > maxNames {
		return status.Errorf(codes.InvalidArgument, "more than %d names", maxNames)
	}
	for name, version := range req.GetInitialResourceVersions() {
		if _, ok := slices.BinarySearch(w.names, name); ok {
			w.sent[name] = version
		}
	}
	w.acknowledge(req.GetResponseNonce(), req.GetErrorDetail().GetMessage(), req.GetErrorDetail() != nil)
	w.wake()
	return nil
}

// acknowledge logs what Envoy says of a response. A rejected secret is not sent again before it
// changes: it would be rejected again.
func (w *watch) acknowledge(nonce, reason string, rejected bool) {
	switch {
	case rejected:
		w.log.Warn("SDS: Envoy rejected a secret", "nonce", nonce, "reason", reason)
	case nonce != "":
		w.log.Debug("SDS: acknowledged", "nonce", nonce)
	}
}

// pending gives what differs from what was sent, and counts it as sent. A secret that is not there
// yet is waited for; a name that can have none is removed, once, which ends Envoy's wait for it
// (in delta; state of the world leaves it to Envoy's timeout).
func (w *watch) pending() (update, error) {
	present := w.present()
	w.mu.Lock()
	defer w.mu.Unlock()
	var u update
	for _, name := range w.names {
		is, read := present[name]
		if !read { // it was asked for meanwhile, of which requested has a word
			continue
		}
		value, err := is.value, is.err
		switch {
		case err != nil:
			if w.sent[name] != gone {
				w.sent[name] = gone
				w.log.Warn("SDS: no such secret", "error", err)
				if w.delta {
					u.removed = append(u.removed, name)
				}
			}
			continue
		case value == nil || w.sent[name] == value.Version:
			continue
		}
		r, err := resource(name, value)
		if err != nil {
			return update{}, err
		}
		u.resources = append(u.resources, r)
		w.sent[name] = value.Version
	}
	if len(u.resources)+len(u.removed) > 0 {
		w.nonce++
	}
	u.nonce = strconv.FormatUint(w.nonce, 10)
	return u, nil
}

// secretNow is what there is of a name.
type secretNow struct {
	value *secret.Value
	err   error
}

// present gives what there is of the names. It may read files, and so does not hold the mutex meanwhile.
func (w *watch) present() map[string]secretNow {
	w.mu.Lock()
	names := slices.Clone(w.names)
	w.mu.Unlock()
	out := make(map[string]secretNow, len(names))
	for _, name := range names {
		value, err := w.secrets.Secret(name)
		out[name] = secretNow{value, err}
	}
	return out
}

// resource puts a value in Envoy's words.
func resource(name string, v *secret.Value) (*node.Resource, error) {
	s := &node.Secret{Name: name}
	if len(v.Roots) > 0 {
		roots, err := validation(v)
		if err != nil {
			return nil, fmt.Errorf("secret %q: %w", name, err)
		}
		s.Type = &node.Secret_ValidationContext{ValidationContext: roots}
	} else {
		s.Type = &node.Secret_TlsCertificate{
			TlsCertificate: &node.TlsCertificate{
				CertificateChain: inline(v.CertificateChain), PrivateKey: inline(v.PrivateKey),
			},
		}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return &node.Resource{Name: name, Version: v.Version, Resource: &node.Any{TypeUrl: secretType, Value: data}}, nil
}

func inline(b []byte) *node.DataSource { return &node.DataSource{InlineBytes: b} }
