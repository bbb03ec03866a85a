package traffic

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// Objects that arrive in another order come to the same bytes, in every case and for every proxy.
func TestOrderOfArrival(t *testing.T) {
	shuffled := rand.New(rand.NewPCG(1, 2))
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			objects := append([]*model.Object(nil), c.objects...)
			for range 3 {
				shuffled.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
				snapshot := translate.Snapshot(objects)
				for from, want := range c.resources {
					got := c.build(snapshot, c.proxy(from))
					for kind, all := range want.ByType {
						if len(got.ByType[kind]) != len(all) {
							t.Fatalf("%s: %d %s, want %d", from, len(got.ByType[kind]), kind, len(all))
						}
						for i, r := range all {
							if !proto.Equal(r.Body, got.ByType[kind][i].Body) {
								t.Fatalf("%s: %s %s is another one:\n%v\nwant\n%v", from, kind, r.Name, got.ByType[kind][i].Body, r.Body)
							}
						}
					}
				}
			}
		})
	}
}
