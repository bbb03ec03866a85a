package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A self-signed root is rotated to a new key in stages, each of which is one file that is put into its
// place, so that a crash between any two steps leaves one of the stages. Which one it is follows from
// the files alone:
//
//	steady        ca-key.pem signs, root-cert.pem holds roots of this key
//	distributing  next-key.pem is there too, and its root is in root-cert.pem; the former key signs
//	signing       next-key.pem has become ca-key.pem; root-cert.pem still holds the former root
//
// Who may write into the directory asks for a step by the file rotate-request, which holds the step's name.
const (
	nextKeyFile = "next-key.pem"
	// untilFile holds the time (RFC 3339) when the last certificate of the former key has ended.
	untilFile   = "former-until"
	requestFile = "rotate-request"
	statusFile  = "rotate-status.json"
)

// Stage of a rotation.
type Stage string

// The stages.
const (
	Steady       Stage = "steady"
	Distributing Stage = "distributing"
	Signing      Stage = "signing"
)

// Step is what can be asked for. A forced one does not wait for what its stage waits for.
type Step string

// The steps.
const (
	Start        Step = "start"
	Sign         Step = "sign"
	SignForced   Step = "sign --force"
	Finish       Step = "finish"
	FinishForced Step = "finish --force"
)

// maxWaitingNames bounds how many proxies a status names.
const maxWaitingNames = 20

// Status says how far a rotation is. Its JSON is in the directory, for whoever may read there.
type Status struct {
	Stage Stage `json:"stage"`
	// Signer is the root of what is signed now, Roots are all that are trusted, as fingerprints.
	Signer string   `json:"signer"`
	Roots  []string `json:"roots"`
	// Proxies counts those that have not taken the roots, and Waiting names the first 20 of them.
	Proxies int      `json:"waitingProxies,omitempty"`
	Waiting []string `json:"waiting,omitempty"`
	// FormerUntil is when the last certificate of the former key ends, in stage signing.
	FormerUntil *time.Time `json:"formerUntil,omitempty"`
	// Request is the last step that was asked for, and Refused why it was not taken.
	Request Step   `json:"request,omitempty"`
	Refused string `json:"refused,omitempty"`
}

// Fingerprint names a certificate: the first 16 bytes of the SHA-256 of its DER, in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:16])
}

// Request asks the Keeper of a directory for a step. ReadStatus tells what came of it.
func Request(dir string, s Step) error {
	return writeFile(filepath.Join(dir, requestFile), []byte(s), 0o600)
}

// Pending tells whether a Keeper has not looked at a request yet.
func Pending(dir string) bool { return exists(filepath.Join(dir, requestFile)) }

// Withdraw takes a request back that no Keeper has looked at; there may be none any more.
func Withdraw(dir string) error {
	if err := os.Remove(filepath.Join(dir, requestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadStatus reads what the Keeper of a directory wrote last.
func ReadStatus(dir string) (Status, error) {
	var s Status
	data, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// rotate takes the step that was asked for, and the one that is due by itself: the new key signs once all
// proxies have taken its root.
func (k *Keeper) rotate() error {
	path := filepath.Join(k.opts.Dir, requestFile)
	asked, err := os.ReadFile(path)
	switch {
	case err == nil:
		step := Step(strings.TrimSpace(string(asked)))
		refused := k.take(step)
		k.request, k.refused = step, ""
		if refused != nil {
			k.refused = refused.Error()
			k.opts.Logger.Warn("a step of the root's rotation is refused", "step", string(step), "reason", refused)
		}
		// The status is there before the request is gone, so that nobody reads an older one.
		return errors.Join(k.writeStatus(), os.Remove(path))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if k.stage() == Distributing && len(k.waiting()) == 0 && k.opts.Clock().Sub(k.since) >= k.opts.Hold {
		return k.sign()
	}
	return nil
}

// take does a step, or says why not.
func (k *Keeper) take(s Step) error {
	a := k.current.Load()
	if a.plugged {
		return errors.New("the CA is plugged in: rotate it by its files, first both roots in root-cert.pem, then ca-cert.pem and ca-key.pem, last the new root alone")
	}
	stage := k.stage()
	wrong := fmt.Errorf("the rotation is in stage %s", stage)
	switch s {
	case Start:
		if stage != Steady {
			return wrong
		}
		return k.start()
	case Sign, SignForced:
		if stage != Distributing {
			return wrong
		}
		if waiting := k.waiting(); s == Sign && len(waiting) > 0 {
			return fmt.Errorf("%d proxies have not taken the new root, among them %s", len(waiting), waiting[0])
		}
		return k.sign()
	case Finish, FinishForced:
		if stage != Signing {
			return wrong
		}
		if until := k.formerUntil(); s == Finish && k.opts.Clock().Before(until) {
			return fmt.Errorf("certificates of the former key may live until %s", until.UTC().Format(time.RFC3339))
		}
		return k.finish()
	}
	return fmt.Errorf("there is no step %q", s)
}

// start makes the new key and its root, which everybody is told of.
func (k *Keeper) start() error {
	if _, err := createKey(k.opts.Dir, filepath.Join(k.opts.Dir, nextKeyFile)); err != nil {
		return err
	}
	return k.load() // makes the root of the key
}

// sign puts the new key into the place of the former, which is gone then.
func (k *Keeper) sign() error {
	until := k.opts.Clock().Add(k.opts.MaxTTL)
	err := writeFile(filepath.Join(k.opts.Dir, untilFile), []byte(until.UTC().Format(time.RFC3339)), 0o644)
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(k.opts.Dir, nextKeyFile), filepath.Join(k.opts.Dir, keyFile)); err != nil {
		return err
	}
	return k.load()
}

// finish leaves the roots of the present key only.
func (k *Keeper) finish() error {
	a := k.current.Load()
	roots := slices.DeleteFunc(slices.Clone(a.rootCerts), func(r *x509.Certificate) bool { return !samePublicKey(r.PublicKey, a.key.Public()) })
	if err := writeRoots(k.opts.Dir, roots); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(k.opts.Dir, untilFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.load()
}

// stage follows from the files as they were loaded.
func (k *Keeper) stage() Stage {
	a := k.current.Load()
	switch {
	case a.plugged || k.opts.Dir == "":
		return Steady
	case exists(filepath.Join(k.opts.Dir, nextKeyFile)):
		return Distributing
	case slices.ContainsFunc(a.rootCerts, func(r *x509.Certificate) bool { return !samePublicKey(r.PublicKey, a.key.Public()) }):
		return Signing
	}
	return Steady
}

// formerUntil is far away where it was lost.
func (k *Keeper) formerUntil() time.Time {
	data, err := os.ReadFile(filepath.Join(k.opts.Dir, untilFile))
	if err == nil {
		if t, err := time.Parse(time.RFC3339, string(bytes.TrimSpace(data))); err == nil {
			return t
		}
	}
	return k.opts.Clock().Add(k.opts.MaxTTL)
}

func (k *Keeper) waiting() []string {
	if k.opts.Waiting == nil {
		return nil
	}
	return k.opts.Waiting(k.current.Load().rootPEM)
}

// writeStatus writes the status where it is another one than before.
func (k *Keeper) writeStatus() error {
	a := k.current.Load()
	next := Status{Stage: k.stage(), Signer: Fingerprint(a.path[len(a.path)-1]), Request: k.request, Refused: k.refused}
	for _, r := range a.rootCerts {
		next.Roots = append(next.Roots, Fingerprint(r))
	}
	if next.Stage != Steady {
		names := k.waiting()
		next.Proxies, next.Waiting = len(names), names[:min(len(names), maxWaitingNames)]
	}
	if next.Stage == Signing {
		until := k.formerUntil()
		next.FormerUntil = &until
	}
	was, err := json.Marshal(k.status)
	if err != nil {
		return err
	}
	data, err := json.Marshal(next)
	if err != nil || bytes.Equal(was, data) && exists(filepath.Join(k.opts.Dir, statusFile)) {
		return err
	}
	k.status = next
	return writeFile(filepath.Join(k.opts.Dir, statusFile), data, 0o644)
}
