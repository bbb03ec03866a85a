// Package signer has what an agent tells the control plane of its workload's certificate: which of the mesh's roots
// it leads to. By that a rotation of the root knows when nobody uses certificates of the former key any more.
package signer

import (
	"crypto/sha256"
	"encoding/hex"
)

// Type is the type of the requests by which agents tell it: the message of their error detail is the root's
// Fingerprint, "" where the certificate leads to none. They are no subscriptions, and have no answer.
const Type = "type.googleapis.com/pilothouse.v1.Signer"

// MaxText bounds what is read of such a message, in bytes.
const MaxText = 64

// Fingerprint names a certificate by its DER: the first 16 bytes of the SHA-256, in hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:16])
}
