package ca

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxNames bounds how many proxies a replica names of those that are alike.
const maxNames = 20

// Heard is what a replica of the control plane knows of roots. Certificates are fingerprints.
type Heard struct {
	// Replica is its name, "" on one machine.
	Replica string `json:"replica,omitempty"`
	// Silent says why it was not heard; then nothing else is known.
	Silent string `json:"silent,omitempty"`
	// Signer is the root of what it signs, Roots are all that it tells proxies of.
	Signer string   `json:"signer,omitempty"`
	Roots  []string `json:"roots,omitempty"`
	// MaxTTL is the longest lifetime of a certificate that it signs.
	MaxTTL time.Duration `json:"maxTTL,omitempty"`
	// Revision is that of the control plane whose webhooks it writes, where it writes; "" for the default one.
	Revision string `json:"revision,omitempty"`
	// Written tells whether it has written its roots where new pods and the API server have them from; nil of a replica
	// that does not write.
	Written *bool `json:"written,omitempty"`
	// Proxies are those that are connected to it.
	Proxies []Held `json:"proxies,omitempty"`
	// Unproven are connected without a proof of who they are. Nothing waits for them, since anybody may be one.
	Unproven Proxies `json:"unproven,omitzero"`
}

// Held are proxies that have the same of roots.
type Held struct {
	// Roots are those that they have acknowledged, sorted; none of a proxy that does not ask for roots.
	Roots []string `json:"roots,omitempty"`
	// Signer is the root of their certificates, "" where they do not say.
	Signer string `json:"signer,omitempty"`
	// Count tells how many they are, and Names names the first 20.
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

// Add counts a proxy among those that have the same of roots; roots are sorted.
func (h *Heard) Add(proxy string, roots []string, signer string) {
	at := slices.IndexFunc(h.Proxies, func(o Held) bool { return o.Signer == signer && slices.Equal(o.Roots, roots) })
	if at < 0 {
		at = len(h.Proxies)
		h.Proxies = append(h.Proxies, Held{Roots: roots, Signer: signer})
	}
	of := &h.Proxies[at]
	of.Count++
	if len(of.Names) < maxNames {
		of.Names = append(of.Names, proxy)
	}
}

// AddUnproven counts a proxy that has proved nothing.
func (h *Heard) AddUnproven(proxy string) {
	h.Unproven.add(Held{Count: 1, Names: []string{proxy}})
}

// Waiting is what a rotation waits for at one replica.
type Waiting struct {
	Replica string `json:"replica,omitempty"`
	// Reason says what is with the replica itself: it was not heard, or goes by other files.
	Reason string `json:"reason,omitempty"`
	// Lacking are proxies that have not taken all of the roots, Former those with a certificate of another key than
	// the one that signs now.
	Lacking Proxies `json:"lacking,omitzero"`
	Former  Proxies `json:"former,omitzero"`
}

// Proxies are some of a replica's.
type Proxies struct {
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

func (p *Proxies) add(h Held) {
	p.Count += h.Count
	p.Names = append(p.Names, h.Names...)
	p.Names = p.Names[:min(len(p.Names), maxNames)]
}

// String names them, and counts those that it does not name.
func (p Proxies) String() string {
	out := strings.Join(p.Names, ", ")
	if more := p.Count - len(p.Names); more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// of says at which replica proxies are.
func (w *Waiting) of(p Proxies) string {
	if w.Replica == "" {
		return p.String()
	}
	return p.String() + " at replica " + w.Replica
}

// waiting compares what was heard with the roots and the signer that all should have.
func waiting(heard []Heard, roots []string, signer string) []Waiting {
	var out []Waiting
	for _, h := range heard {
		w := Waiting{Replica: h.Replica, Reason: h.Silent}
		switch {
		case h.Silent != "":
		case !containsAll(h.Roots, roots):
			w.Reason = "it does not have these roots yet"
		case h.Signer != signer:
			w.Reason = "it signs by another key yet"
		case h.Written != nil && !*h.Written:
			w.Reason = "it has not written the roots into all namespaces and webhooks yet"
		}
		for _, p := range h.Proxies {
			if !containsAll(p.Roots, roots) {
				w.Lacking.add(p)
			}
			if p.Signer != signer {
				w.Former.add(p)
			}
		}
		if w.Reason != "" || w.Lacking.Count+w.Former.Count > 0 {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b Waiting) int { return cmp.Compare(a.Replica, b.Replica) })
	return out
}

// lacking tells of the first of those that lack roots, "" for none.
func lacking(all []Waiting) string {
	for _, w := range all {
		switch {
		case w.Reason != "" && w.Replica == "":
			return "the control plane: " + w.Reason
		case w.Reason != "":
			return fmt.Sprintf("replica %s: %s", w.Replica, w.Reason)
		case w.Lacking.Count > 0:
			return fmt.Sprintf("%d proxies have not taken the roots: %s", w.Lacking.Count, w.of(w.Lacking))
		}
	}
	return ""
}

// former tells of the first of those with a certificate of the former key, "" for none.
func former(all []Waiting) string {
	for _, w := range all {
		if w.Former.Count > 0 {
			return fmt.Sprintf("%d proxies have not said that theirs is of the new key: %s", w.Former.Count, w.of(w.Former))
		}
	}
	return ""
}

func containsAll(have, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(have, w) })
}

func fingerprints(certs []*x509.Certificate) []string {
	out := make([]string, len(certs))
	for i, c := range certs {
		out[i] = Fingerprint(c)
	}
	return out
}
