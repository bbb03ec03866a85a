package ca

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pilothouse-mesh/pilothouse/proto/signer"
)

// A self-signed root is rotated to a new key in stages. Which one it is follows from the files alone, so that a
// crash between any two steps leaves one of the stages, and whoever takes over goes on:
//
//	steady        ca-key.pem signs, root-cert.pem holds roots of this key
//	distributing  next-key.pem is there too, and its root is in root-cert.pem; the former key signs
//	signing       next-key.pem has become ca-key.pem; root-cert.pem still holds the former root
//
// Who may write into the store asks for a step by the file rotate-request, which holds the step's name.
const (
	nextKeyFile = "next-key.pem"
	// formerLongestFile holds the longest lifetime that the former key has signed for.
	formerLongestFile = "former-longest-ttl"
	// untilFile holds the time (RFC 3339) when the last certificate of the former key has ended. It is written once
	// all replicas sign by the new key.
	untilFile = "former-until"
	// longestFile holds the longest lifetime that the present key has signed for, which may be more than is signed
	// for today.
	longestFile = "longest-ttl"
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

// Meaning says what is so in a stage.
func (s Stage) Meaning() string {
	switch s {
	case Steady:
		return "one key signs, and its root is trusted"
	case Distributing:
		return "all are told of both roots, and the former key signs"
	case Signing:
		return "the new key signs, and both roots are trusted"
	}
	return "unknown"
}

// Next says what leads on from a stage.
func (s Stage) Next() string {
	switch s {
	case Steady:
		return "`pilotctl ca rotate start` begins a rotation"
	case Distributing:
		return "the new key signs by itself once all proxies have the new root; `pilotctl ca rotate sign --force` does not wait for them"
	case Signing:
		return "`pilotctl ca rotate finish` drops the former root and ends the rotation"
	}
	return ""
}

// now says where a rotation is, to who has asked for a step that does not belong there.
func (s Stage) now() string {
	if s == Steady {
		return "no rotation is under way; " + s.Next()
	}
	return fmt.Sprintf("a rotation is under way (stage %s: %s); %s", s, s.Meaning(), s.Next())
}

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

// Status says how far a rotation is. Its JSON is in the store, for whoever may read there.
type Status struct {
	Stage Stage `json:"stage"`
	// Signer is the root of what is signed now, Roots are all that are trusted, as fingerprints.
	Signer string   `json:"signer"`
	Roots  []string `json:"roots"`
	// Written is when this was written: while a rotation is under way each StatusEvery at the latest, else when something
	// was another. It is zero for what was not read but asked for.
	Written time.Time `json:"written,omitzero"`
	// Plugged says that the CA is plugged in. Its rotation is the operator's, and the stage says nothing of it.
	Plugged bool `json:"plugged,omitempty"`
	// Proxies is how many were connected while a rotation is under way, without those that prove nothing.
	Proxies int `json:"proxies,omitempty"`
	// Waiting is what the rotation waits for, by replica.
	Waiting []Waiting `json:"waiting,omitempty"`
	// FormerUntil is when the last certificate of the former key ends, in stage signing, once all replicas sign by the
	// new key.
	FormerUntil *time.Time `json:"formerUntil,omitempty"`
	// DeliveredBy is when pods see the roots in their files, in stage distributing, once all replicas have written them:
	// the new key does not sign before.
	DeliveredBy *time.Time `json:"deliveredBy,omitempty"`
	// Request is the last step that was asked for, Refused why it was not taken, and Broken what one that was forced
	// has cut off.
	Request Step   `json:"request,omitempty"`
	Refused string `json:"refused,omitempty"`
	Broken  string `json:"broken,omitempty"`
}

// Next says what leads on from here.
func (s Status) Next() string {
	if s.Plugged {
		return ErrPlugged.Error()
	}
	return s.Stage.Next()
}

// Silent tells whether who writes the status has written nothing where it should have. Three times may fail, or be
// late while another leader is found.
func (s Status) Silent(now time.Time) bool {
	underWay := s.Stage != Steady || s.Plugged && len(s.Roots) > 1
	return underWay && !s.Written.IsZero() && now.Sub(s.Written) > 3*StatusEvery
}

// Lacking tells the first reason why not everybody has the roots, "" for none.
func (s Status) Lacking() string { return lacking(s.Waiting) }

// Fingerprint names a certificate: the first 16 bytes of the SHA-256 of its DER, in hex.
func Fingerprint(c *x509.Certificate) string { return signer.Fingerprint(c.Raw) }

// Requested gives the change of a store that asks for a step, and Withdrawn the one that takes it back.
func Requested(s Step) Change { return Change{requestFile, []byte(s)} }

// Withdrawn takes a request back that nobody has looked at.
func Withdrawn() Change { return Change{Name: requestFile} }

// Answered tells whether nobody waits for an answer in these files, and what the last status is; ok is false where
// there is none.
func Answered(files map[string][]byte) (s Status, answered, ok bool, err error) {
	data, ok := files[statusFile]
	if ok {
		err = json.Unmarshal(data, &s)
	}
	return s, files[requestFile] == nil, ok, err
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

// ReadStatus reads what the Keeper of a directory wrote last. It writes nothing into that of a plugged-in CA with
// one root, which is steady.
func ReadStatus(dir string) (Status, error) {
	var s Status
	data, err := os.ReadFile(filepath.Join(dir, statusFile))
	if errors.Is(err, fs.ErrNotExist) && exists(filepath.Join(dir, certFile)) {
		return steadyOf(dir, err)
	}
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// steadyOf gives the status of a plugged-in CA with one root, else an error for that there is none.
func steadyOf(dir string, none error) (Status, error) {
	files, err := directory(dir).Read(context.Background())
	if err != nil {
		return Status{}, err
	}
	s, err := StatusOf(files, nil)
	if err == nil && len(s.Roots) > 1 {
		return Status{}, none
	}
	return s, err
}
