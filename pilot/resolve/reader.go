// Package resolve decides what a class of proxies should do. It reads a snapshot through a Reader, and
// computes ir values (listeners, routes, clusters, name table) and problems, one unit at a time. A Plan
// says which units there are, and each is a function of what it reads. It is pure: no protobuf of Envoy,
// no clock, no log, no I/O, and no order that a map decides. Objects are those that pilot/validate takes: both sources
// leave the others out, in one place, so that nothing here checks again what a value by itself may be.
package resolve

import "github.com/pilothouse-mesh/pilothouse/pilot/store"

// Reader is all that translation may see of a snapshot. Every answer is immutable, in an order
// that depends on nothing but the objects, and absent rows are nil; what was read is recorded.
// A client is the namespace whose view it is.
type Reader = store.Reader
