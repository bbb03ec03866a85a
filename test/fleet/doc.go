// Package fleet runs real Envoys against a real control plane while the mesh changes, the control
// plane is killed and streams are cut at every stage of an update; requests go through every Envoy
// all the time, and none may fail.
//
// The control plane is a process of its own: the test's binary, which runs pilot/discovery where
// it is told to. Between it and the Envoys stands a gate (test/envoytest). It makes each listener
// bind to an address of its Envoy's own on loopback, which takes the place of redirection, and lets
// EDS wait for ever, so that a cluster that is stuck stays stuck.
//
// A round is some edits of the mesh and a fault at a stage of what they cause. It ends when all
// answers through all Envoys carry the round's number. At the end each Envoy must have what a fresh
// one gets. `make fleet` is the long form; the seed of a run decides on edits and faults.
package fleet
