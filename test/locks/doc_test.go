// Package locks looks for deadlocks in the code itself. It follows all calls, also through interfaces and function
// values, and notes which mutexes each function takes while which others are held. Two ways that take two mutexes in
// opposite orders are a fault, whether or not a test meets them. So is a mutex that is taken twice, and a wait
// under a mutex: for a channel, a goroutine, the network or a disk.
//
// All mutexes of one field count as one, so two streams are one lock here. A function that another module is given
// counts as called there. What another module calls by an interface is not seen, and neither is who waits by a
// channel for whom.
package locks
