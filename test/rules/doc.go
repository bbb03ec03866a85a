// Package rules holds the twelve rules of discovery that Envoy relies on. Each test drives the
// product's server (pilot/push and pilot/xds) from state to state with a real Envoy as its client,
// and looks at the outcome there: what is warm, what serves, what connections are kept. A gate
// between the two (test/envoytest) cuts the stream at a stage, or takes out of the exchange what the
// rule puts in; then Envoy is stuck, fails requests or runs what it should not, which is why the
// rule is there. No cluster has a time limit for its endpoints, so that what is stuck stays so.
//
//	rule                                            test                                   without it
//	 1 subscriptions ride on ACKs and NACKs         Rule1SubscriptionsRideOnAnswers        warming for good
//	   old nonces count in delta                    Rule1OldNoncesAreAnswersToo            (*) refusal is lost
//	 2 a name asked for again is sent in full       Rule2WhatIsAskedForAgainIsSentAgain    listener waits for good
//	   unknown names are answered                   Rule2UnknownNamesAreAnswered           both wait for good
//	   endpoints and routes are never removed       Rule2EndpointsAreNeverRemoved          503, no hosts
//	   endpoints of a cluster that leaves stay      Rule2AClusterThatLeavesKeepsItsHosts   503, no hosts
//	 3 each EDS cluster is followed by endpoints    Rule3EndpointsFollowTheirCluster       warming for good
//	 4 after a break, endpoints in full             Rule4EndpointsAreSentInFull…           warming for good
//	   after a clean break, nothing                 Rule4ClaimsCountAfterACleanBreak       (*) all is sent again
//	 5 endpoints do not wait for CDS's ACK          Rule5EndpointsDoNotWaitFor…            each waits for the other
//	   routes to new clusters do, bounded           Rule5RoutesWaitForNewClusters          503, no cluster
//	   LDS is acknowledged before it is warm        Rule5AListenerIsAcknowledged…          a fact about Envoy
//	 6 the first answer may be empty                Rule6AnEmptyFirstAnswerIsGiven         never live
//	   and is never split                           Rule6TheFirstAnswerIsNotSplit          503, no cluster
//	 7 CDS, EDS, LDS, RDS; removals last            Rule7NothingPointsAtWhatIsNotThere     503, no cluster
//	   also where endpoints are held up             Rule7RoutesDoNotOvertakeEndpoints      503, no hosts
//	 8 a listener update needs no routes            Rule8AListenerUpdateNeedsNoRoutes      (*) bytes for nothing
//	 9 the good part of what is refused goes again  Rule9TheGoodPartOfARefused…            (*) it has no version
//	   a refused batch is bisected                  Rule9ARefusedBatchIsBisected           (*) nothing of it arrives
//	   until repaired, claims do not count          Rule9ClaimsDoNotCountUntil…            runs what nobody wants
//	10 EDS keeps its time limit of 15 s             Rule10EndpointsThatAreForgottenHeal…   warming for good
//	11 after an unsubscribe under a wildcard        Rule11AfterAnUnsubscribe…              503, no cluster
//	12 no volatile byte in a resource               Rule12NothingVolatileIsInAResource     connections are lost
//
// (*) is not shown by meddling with the exchange; the test fails where the server breaks the rule.
// A missing Secret, of rule 2, is the agent's to answer: agent/sds. Comments in pilot/xds name a rule in
// words and by its number here.
package rules
