// Package random drives the whole pipeline, from the store to the wire, with random edits, clients
// and faults on a fake clock, and checks what every client holds. Its clients are state machines
// that behave as an Envoy does; a test replays transcripts against a real one to see that they do.
package random
