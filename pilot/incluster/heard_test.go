package incluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// others are replicas and what their proxies refuse; nil for one that does not answer.
type others struct {
	mu sync.Mutex
	of map[string][]model.Problem
}

func (o *others) set(of map[string][]model.Problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of = of
}

func (o *others) Others(context.Context) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.of)), nil
}

func (o *others) Refused(_ context.Context, replica string) ([]model.Problem, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[replica] == nil {
		return nil, errors.New("it does not answer")
	}
	return o.of[replica], nil
}

// TestTheLeaderTellsWhatOthersHear: an object that only proxies of other replicas refuse has a condition, for as long
// as they do.
func TestTheLeaderTellsWhatOthersHear(t *testing.T) {
	refusal := func(name, proxy string) model.Problem {
		return model.Problem{Object: entryKey(name), Severity: model.SeverityError, Reason: model.ReasonRejected, Message: "proxy " + proxy + " refused it"}
	}
	synctest.Test(t, func(t *testing.T) {
		m, all := newMesh(t), &others{}
		m.put("a", 1)
		m.put("b", 1)
		m.replicas = all
		all.set(map[string][]model.Problem{"second": {refusal("a", "y"), refusal("b", "y")}, "third": {refusal("b", "z")}})
		m.report(refusal("a", "x"))
		m.lead()
		m.pass(5 * time.Second)
		for name, want := range map[string]string{"a": "proxy x refused it", "b": "proxy y refused it"} {
			if c := m.condition(name, "Accepted"); c == nil || c.Reason != "Rejected" || c.Message != want {
				t.Errorf("%s: %+v", name, c)
			}
		}
		all.set(map[string][]model.Problem{"second": nil, "third": {}})
		m.pass(time.Minute)
		if c := m.condition("b", "Accepted"); c == nil || !strings.Contains(c.Message, "proxy y") {
			t.Errorf("while a replica is silent: %+v", c)
		}
		if n := m.patches(); n != 2 {
			t.Errorf("%d writes of two objects", n)
		}
		all.set(map[string][]model.Problem{"third": {}})
		m.pass(2 * hearEvery)
		if c := m.condition("b", "Accepted"); c != nil {
			t.Errorf("once the replica is gone: %+v", c)
		}
		if m.condition("a", "Accepted") == nil {
			t.Error("what this replica knows itself is gone")
		}
	})
}
