// Package xds serves the aggregated discovery service (ADS), delta and state of the world, from the
// views of push. Each stream keeps what its client subscribed to and what its client has. It sends
// what differs, in an order in which nothing points at what is not there yet, and finds the one
// resource that a client rejects. The package knows nothing of the mesh's objects.
//
// What Envoy relies on beyond the protocol's text are twelve rules. They are listed, each with a test
// against a real Envoy, in test/rules/doc.go; "rule 3" in a comment here is rule 3 of that list.
//
// A request runs through handle (subscriptions, ACK, NACK), which changes a watch; compose looks for
// what is due then, in the order of the types; collect makes a response of it, and deliver sends it. A
// new view comes in by refresh, which only marks what is dirty.
//
// Glossary, in the words of push where both have one:
//
//	client      the proxy at the other end of a stream
//	stream      one ADS stream; a proxy that comes back has a new one
//	watch       what a stream asked for, has and is owed, of one type of resource
//	wanted      what of the view a watch subscribed to, by name or by the wildcard
//	base        the set of the view that a watch was last compared with
//	claimed     a version that a client says it has, when a stream begins
//	held        what a client has of a name, once it took all that is on its way
//	odd         a name of which a client holds something else than base has
//	dirty       a name that has to be looked at: the client may need it
//	owed        a dirty name that is sent even if the client holds its version
//	queue       blocks (runs of resources, see resource) that a client gets at the beginning
//	unsure      a queue of which the client may hold other versions, which do not count
//	in flight   a response that was sent and not answered yet
//	full state  a response that has to hold all resources of its type: state of the world, of types
//	            that can be asked for without names
//	cold        a full state for a client that had nothing before
//	accepted    a version that some proxy has acknowledged (ACK)
//	rejected    a version that this client has refused (NACK); it does not get it again
//	own fault   a rejection for what is wrong on the proxy's machine, such as a port that is taken
//	isolated    names that are sent alone, to find the rejected one among them
//	untrusted   what a proxy may run that is something else than it claims when it comes back
//	returned    a client that claimed something, so it has clusters of a former stream
//	resumed     a client out of order that has had a stream before
//	out of order  a stream on which endpoints or listeners were asked for before clusters
//	identity    what a caller proved; "" for all callers without proof
//	share       what all streams of one identity take of the server together
//	place       leave to be among the streams that begin at the same time
//	turn        leave to write a large response
package xds
