// Package random drives the whole pipeline, from the store to the wire, with random edits, clients
// and faults on a fake clock, and checks what every client holds. Its clients are state machines
// that behave as an Envoy does; a test replays transcripts against a real one to see that they do.
//
// An editor makes objects of every kind that the control plane reads (mesh_test.go), and a test fails
// where it makes none of one of them (kinds_test.go). Some of the clients are sidecars and some are
// routers, which serve Gateway objects (proxies_test.go). Each response is checked when it comes
// (client_test.go), and what is held whenever all has come to rest (compare_test.go); the engine's own
// check of its views runs beside (check_test.go).
//
// Two of the project's goals are what is checked here, and comments name them by number:
//
//   - R1: after any sequence of faults a client's state equals what a fresh server would give it. It
//     never goes back, never loses what still exists, and never points at a cluster that was not
//     delivered.
//   - R5: where an Envoy refuses a response (a NACK), only the offending resource goes back to what was
//     last accepted. The others keep updating, and the object's status says so.
//
// A rule with a number, in comments here and of pilot/xds, is one of the rules of discovery that Envoy
// relies on: test/rules/doc.go lists them.
package random
