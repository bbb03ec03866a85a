package ca

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"
)

// take does a step, or says why not.
func (t *turn) take(s Step) error {
	if t.a.plugged {
		return ErrPlugged
	}
	stage := t.stage()
	wrong := errors.New(stage.now())
	switch s {
	case Start:
		if stage != Steady {
			return wrong
		}
		return t.start()
	case Sign, SignForced:
		if stage != Distributing {
			return wrong
		}
		if why := t.unready(); why != "" {
			if s == Sign {
				return errors.New(why)
			}
			t.broken = why + "; who does not have it refuses certificates of the new key"
		}
		return t.sign()
	case Finish, FinishForced:
		if stage != Signing {
			return wrong
		}
		if why := t.unfinished(); why != "" {
			if s == Finish {
				return errors.New(why)
			}
			t.broken = why + "; such certificates are refused from now on"
		}
		return t.finish()
	}
	return fmt.Errorf("there is no step %q", s)
}

// ErrPlugged says that the steps are the operator's.
var ErrPlugged = errors.New("the CA is plugged in: rotate it by its files, first both roots in root-cert.pem, then ca-cert.pem and ca-key.pem, last the new root alone")

// mend goes on where a step was broken off, in a store that makes one change after the other.
func (t *turn) mend() error {
	next := t.files[nextKeyFile]
	switch {
	case next == nil || t.a.plugged:
		return nil
	case bytes.Equal(next, t.files[keyFile]):
		t.put(nextKeyFile, nil)
		return nil
	}
	key, err := parseKey(nextKeyFile, next)
	if err != nil || rootOf(key, t.a.rootCerts) != nil {
		return err
	}
	return t.trustRootOf(key)
}

// trustRootOf makes a root of a key, and has it trusted beside the others.
func (t *turn) trustRootOf(key crypto.Signer) error {
	m, err := selfSign(t.a.opts, key)
	if err != nil {
		return err
	}
	return t.putRoots(t.a.key, append(slices.Clone(t.a.rootCerts), m.signer))
}

// start makes the new key and its root, which everybody is told of.
func (t *turn) start() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	text, err := keyPEM(key)
	if err != nil {
		return err
	}
	t.put(nextKeyFile, text)
	return t.trustRootOf(key)
}

// sign puts the new key into the place of the former, which is gone then.
func (t *turn) sign() error {
	next := t.files[nextKeyFile]
	key, err := parseKey(nextKeyFile, next)
	if err != nil {
		return err
	}
	t.put(formerLongestFile, []byte(t.longest(longestFile).String()))
	t.put(untilFile, nil)
	t.put(keyFile, next)
	if err := t.putRoots(key, t.a.rootCerts); err != nil {
		return err
	}
	t.put(nextKeyFile, nil)
	t.put(longestFile, nil)
	return nil
}

// longest gives the longest lifetime that a file has, and what is signed for today where it has less: here, or by a
// replica that signs for longer, as one of another revision may.
func (t *turn) longest(file string) time.Duration {
	longest := t.opts.MaxTTL
	for _, h := range t.heard {
		longest = max(longest, h.MaxTTL)
	}
	d, err := time.ParseDuration(string(bytes.TrimSpace(t.files[file])))
	if err != nil {
		return longest
	}
	return max(d, longest)
}

// noteLongest keeps longest for a control plane that signs for less.
func (t *turn) noteLongest() error {
	if !t.a.plugged {
		t.put(longestFile, []byte(t.longest(longestFile).String()))
	}
	return nil
}

// noteUntil notes when the last certificate of the former key ends, once nobody signs by it.
func (t *turn) noteUntil() {
	if t.stage() != Signing || t.files[untilFile] != nil {
		return
	}
	for _, w := range t.waiting() {
		if w.Reason != "" {
			return
		}
	}
	until := t.now.Add(t.longest(formerLongestFile) + time.Second) // of which the text has no fraction
	t.put(untilFile, []byte(until.UTC().Format(time.RFC3339)))
}

// formerUntil is nil where it is not known yet.
func (t *turn) formerUntil() *time.Time {
	until, err := time.Parse(time.RFC3339, string(bytes.TrimSpace(t.files[untilFile])))
	if err != nil {
		return nil
	}
	return &until
}

// unfinished tells why the former root may not go yet, "" where it may: all replicas and proxies have the roots, and
// no certificate of the former key lives, or all proxies have said that theirs is another.
func (t *turn) unfinished() string {
	if why := t.lacking(); why != "" {
		return why
	}
	until := t.formerUntil()
	if until == nil {
		return "not all replicas sign by the new key"
	}
	if !t.now.Before(*until) {
		return ""
	}
	lives := "certificates of the former key may live until " + until.UTC().Format(time.RFC3339)
	switch why := former(t.waiting()); {
	case why != "":
		return lives + ", and " + why
	case t.proxies == 0:
		return lives + ", and no proxy is connected that could say that it has none; `finish --force` does not wait"
	case t.renewed.IsZero():
		return lives
	case t.now.Before(t.steady) || t.now.Sub(t.renewed) < t.opts.Hold:
		return lives + fmt.Sprintf("; all proxies have renewed theirs, which has to stay so for %s", t.opts.Hold)
	}
	return ""
}

// finish leaves the roots of the present key only.
func (t *turn) finish() error {
	if err := t.putRoots(t.a.key, slices.DeleteFunc(slices.Clone(t.a.rootCerts), t.former)); err != nil {
		return err
	}
	t.put(untilFile, nil)
	t.put(formerLongestFile, nil)
	return nil
}
