package discovery

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// The roots of a CA in a directory get into pods by ConfigMaps too where the control plane is in a cluster. So the new key
// waits until this one leads and has written them, and then for kubelets.
func TestTheKeyOfADirectoryWaitsForKubelets(t *testing.T) {
	for name, c := range map[string]struct {
		cluster         bool
		delivery, waits time.Duration
	}{
		"machine":                  {},
		"machine that has a delay": {delivery: time.Hour},
		"cluster":                  {cluster: true, waits: incluster.DefaultDelivery},
		"cluster with a delay":     {cluster: true, delivery: time.Hour, waits: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig(t, t.TempDir())
				dir := t.TempDir()
				cfg.RootDelivery = c.delivery
				p := newPlane(cfg)
				var of *cluster
				if c.cluster {
					of = &cluster{plane: p}
				}
				keeper, err := p.keeperOf(ca.Options{Dir: dir}, of)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- keeper.Run(ctx) }()
				defer func() {
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
				}()
				after := func(d time.Duration, stage ca.Stage) ca.Status {
					t.Helper()
					time.Sleep(d)
					s, err := ca.ReadStatus(dir)
					if err != nil || s.Stage != stage {
						t.Fatalf("after %v: %+v (%v), want stage %s", d, s, err, stage)
					}
					return s
				}
				if err := ca.Request(dir, ca.Start); err != nil {
					t.Fatal(err)
				}
				if !c.cluster {
					after(40*time.Second, ca.Signing)
					return
				}
				if s := after(40*time.Second, ca.Distributing); s.DeliveredBy != nil || !strings.Contains(s.Lacking(), "has not written") {
					t.Errorf("nothing is written: %+v", s)
				}
				p.noteWritten(keeper.RootPEM())
				after(c.waits-5*time.Second, ca.Distributing)
				after(10*time.Second, ca.Signing)
			})
		})
	}
}
