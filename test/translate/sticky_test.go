package translate

import (
	"fmt"
	"net/http"
	"testing"
)

// Requests with one value of what they are split by go to one destination each time, also where a
// DestinationRule hashes by something else, and those of many users are split by the weights.
func TestEnvoySplitsByWhatRequestsCarry(t *testing.T) {
	for by, header := range map[string]func(user string) http.Header{
		"header:x-user": func(user string) http.Header { return http.Header{"X-User": {user}} },
		"cookie:user":   func(user string) http.Header { return http.Header{"Cookie": {"a=b; user=" + user}} },
	} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			s := serve(t, translate(t, servicesYAML+`
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: ratings, namespace: default}, spec: {host: ratings, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-other}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default, annotations: {traffic.pilothouse.io/sticky-split: "`+by+`"}}
spec: {hosts: [reviews], http: [{route: [{destination: {host: ratings}, weight: 75}, {destination: {host: details}, weight: 25}]}]}
`, Proxy{}), place{listener: "0.0.0.0_9080"})
			ask := func(user, other string) string {
				h := header(user)
				h.Set("X-Other", other)
				_, a := s.get(t, "reviews:9080", "/", h)
				<-s.requests
				return a.Cluster
			}
			shares := map[string]int{}
			const users = 200
			for user := range users {
				name := fmt.Sprint("user-", user)
				first := ask(name, "1")
				shares[first]++
				if again := ask(name, "2"); again != first {
					t.Fatalf("%s went to %s, then to %s", name, first, again)
				}
			}
			if got := shares[outbound("", "ratings")]; got < users*55/100 || got > users*95/100 {
				t.Errorf("%d of %d users went where 75%% are to go: %v", got, users, shares)
			}
		})
	}
}
