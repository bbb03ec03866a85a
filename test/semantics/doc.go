// Package semantics holds Explain against slow models of what rules mean: a second reading of Istio's
// documentation and sources that shares nothing with the translation. A model has no index and no table; it
// asks one rule after the other, for one call at a time.
//
//	rules_test.go   random VirtualServices, delegates, Gateways and Sidecars (virtualservice, match, delegate,
//	                sidecar, bytes and gateway_test.go are the model, make and call_test.go the random meshes)
//	entries_test.go random ServiceEntries and DestinationRules (entry_test.go is the model)
//
// go test ./test/semantics -seed 17 -seeds 1 shows one mesh again, -seeds 5000 asks many more.
package semantics
