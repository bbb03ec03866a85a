package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// leader answers what is asked for in the Secret of a cluster's CA.
func leader(t *testing.T, client *fake.Clientset, answer func(ca.Step) ca.Status) {
	client.PrependReactor("patch", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patch := a.(clienttesting.PatchAction)
		var asked struct{ Data map[string][]byte }
		if err := json.Unmarshal(patch.GetPatch(), &asked); err != nil || len(asked.Data) != 1 {
			t.Errorf("patch %s: %v", patch.GetPatch(), err)
		}
		status := answer(ca.Step(asked.Data["rotate-request"]))
		secret := secretOf("istio-ca-secret", status)
		return true, secret, client.Tracker().Update(patch.GetResource(), secret, "istio-system")
	})
}

func secretOf(name string, status ca.Status) *corev1.Secret {
	text, err := json.Marshal(status)
	if err != nil {
		panic(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: map[string][]byte{"rotate-status.json": text}}
}

// In a cluster a rotation is asked for and followed by the Secret of the CA.
func TestTheRootOfAClusterIsRotated(t *testing.T) {
	waiting := []ca.Waiting{{Replica: "istiod-2", Lacking: ca.Proxies{Count: 21, Names: []string{"reviews.default"}}}, {Replica: "istiod-3", Reason: "it is silent"}}
	client := fake.NewClientset(secretOf("istio-ca-secret", ca.Status{Stage: ca.Distributing, Signer: "a", Roots: []string{"a", "b"}, Waiting: waiting}))
	leader(t, client, func(s ca.Step) ca.Status {
		switch s {
		case ca.Finish:
			return ca.Status{Stage: ca.Signing, Request: s, Refused: "certificates of the former key may live until tomorrow"}
		case ca.FinishForced:
			return ca.Status{Stage: ca.Steady, Request: s, Broken: "reviews.default is cut off"}
		}
		return ca.Status{Stage: ca.Steady, Request: s, Refused: "wrong stage"}
	})
	var said bytes.Buffer
	r := &rotation{store: secretStore{&clusterMesh{client: client, namespace: "istio-system"}}, stderr: &said}
	s, answered, err := r.store.status(t.Context())
	var table bytes.Buffer
	if err := printRotation(&table, s, "table"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"distributing", "a (trusted, signs)", "b (trusted)", "WAITING FOR istiod-2", "21 proxies without the roots: reviews.default and 20 more", "WAITING FOR istiod-3", "it is silent", "NEXT", "sign --force"} {
		if err != nil || !answered || !strings.Contains(table.String(), want) {
			t.Errorf("status (%v) lacks %q: %s", err, want, table.String())
		}
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(io.Discard)
	if err := r.take(cmd, ca.Finish, ca.FinishForced, false); err == nil || err.Error() != "refused: certificates of the former key may live until tomorrow" {
		t.Errorf("finish: %v", err)
	}
	if err := r.take(cmd, ca.Finish, ca.FinishForced, true); err != nil || !strings.Contains(said.String(), "reviews.default is cut off") {
		t.Errorf("finish --force: %v, said %q", err, said.String())
	}
}

// Each row of a status has a subject.
func TestAStatusNamesWhomItIsAbout(t *testing.T) {
	for want, s := range map[string]ca.Status{
		"the control plane: it signs by another key yet":       {Stage: ca.Signing, Waiting: []ca.Waiting{{Reason: "it signs by another key yet"}}},
		"distributing (all are told of both roots":             {Stage: ca.Distributing},
		"`pilotctl ca rotate start` begins a rotation":         {Stage: ca.Steady},
		"`pilotctl ca rotate finish` drops the former root":    {Stage: ca.Signing},
		"the CA is plugged in: rotate it by its files":         {Stage: ca.Steady, Plugged: true},
		"WAITING FOR istiod-1   it signs by another key yet\n": {Stage: ca.Signing, Waiting: []ca.Waiting{{Replica: "istiod-1", Reason: "it signs by another key yet"}}},
	} {
		var table bytes.Buffer
		if err := printRotation(&table, s, "table"); err != nil || !strings.Contains(table.String(), want) {
			t.Errorf("%+v (%v) lacks %q: %s", s, err, want, table.String())
		}
	}
}

// A status says as of when it is, and whether the control plane should have written meanwhile.
func TestAStatusSaysAsOfWhenItIs(t *testing.T) {
	for _, c := range []struct {
		ago          time.Duration
		stage        ca.Stage
		want, absent string
	}{
		{40 * time.Second, ca.Distributing, ", 40s ago", "since"},
		{-time.Minute, ca.Signing, ", 0s ago", "since"}, // by another clock
		{3 * time.Minute, ca.Signing, ", 3m0s ago; the control plane has written nothing since", "again"},
		{3 * time.Hour, ca.Steady, ", 3h0m0s ago; the control plane writes again when something changes", "since"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var table bytes.Buffer
			at := time.Now().Add(-c.ago)
			err := printRotation(&table, ca.Status{Stage: c.stage, Written: at, Proxies: 1}, "table")
			want := "AS OF   " + at.Local().Format(time.DateTime) + c.want
			if err != nil || !strings.Contains(table.String(), want) || strings.Contains(table.String(), c.absent) {
				t.Errorf("%v ago (%v): %s, want %q", c.ago, err, table.String(), want)
			}
		})
	}
}

// What start promises of finish is what holds.
func TestStartPromisesWhatHolds(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	for want, s := range map[string]ca.Status{
		"`pilotctl ca rotate finish --wait 2m` drops the former root when all have\n": {Stage: ca.Signing, Proxies: 1, FormerUntil: &until},
		"has ended at 2030-01-02 03:04:05, and `finish --force`":                      {Stage: ca.Signing, FormerUntil: &until},
		"no proxy is connected that could say that its certificate is new\n":          {Stage: ca.Signing},
	} {
		var said bytes.Buffer
		store := &spoken{says: func(bool) (ca.Status, bool, error) { return s, true, nil }}
		err := (&rotation{store: store, stderr: &said}).follow(t.Context())
		if err != nil || !strings.Contains(said.String(), want) || (s.Proxies == 0) == strings.Contains(said.String(), "--wait") {
			t.Errorf("%+v: said %q (%v), want %q", s, said.String(), err, want)
		}
	}
}

// Who interrupts a command is told once what goes on without it.
func TestAnInterruptedCommandSaysWhatGoesOn(t *testing.T) {
	for want, c := range map[string]struct {
		answered bool
		status   ca.Status
		run      func(ctx context.Context, r *rotation) error
	}{
		"interrupted; the rotation goes on by itself, and `pilotctl ca rotate status` says how far it is": {
			true, ca.Status{Stage: ca.Distributing, Proxies: 1}, func(ctx context.Context, r *rotation) error { return r.follow(ctx) },
		},
		"interrupted before an answer; the request is taken back": {
			false, ca.Status{Stage: ca.Steady}, func(ctx context.Context, r *rotation) error { _, err := r.ask(ctx, ca.Start); return err },
		},
		"interrupted; the former root is trusted yet, and `pilotctl ca rotate finish` drops it later": {
			true, ca.Status{Stage: ca.Signing, Request: ca.Finish, Refused: "not yet"}, func(ctx context.Context, r *rotation) error {
				cmd := &cobra.Command{}
				cmd.SetContext(ctx)
				return r.drop(cmd, false, time.Hour)
			},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5500*time.Millisecond, cancel)
			var said bytes.Buffer
			store := &spoken{says: func(asked bool) (ca.Status, bool, error) { return c.status, c.answered || !asked, ctx.Err() }}
			err := c.run(ctx, &rotation{store: store, stderr: &said})
			if err == nil || err.Error() != want || strings.Contains(said.String(), "by itself") {
				t.Errorf("%v, said %q; want %q", err, said.String(), want)
			}
		})
	}
}

// spoken is a store that says what a test wants.
type spoken struct {
	says      func(asked bool) (ca.Status, bool, error)
	asked     bool
	withdrawn bool
}

func (s *spoken) status(context.Context) (ca.Status, bool, error) { return s.says(s.asked) }
func (s *spoken) request(context.Context, ca.Step) error          { s.asked = true; return nil }
func (s *spoken) answer() time.Duration                           { return 40 * time.Second }
func (s *spoken) silence() error                                  { return errors.New("nobody looks") }

func (s *spoken) withdraw(ctx context.Context) error {
	s.withdrawn = true
	return ctx.Err()
}

// An answer is one's own or none, and what has no answer is not left behind.
func TestWhatIsAskedIsAnsweredOrWithdrawn(t *testing.T) {
	down, began := errors.New("the API server is down"), time.Time{}
	for what, c := range map[string]struct {
		says      func() (ca.Status, bool, error)
		want      string // the error
		withdrawn bool
	}{
		"answered":                  {func() (ca.Status, bool, error) { return ca.Status{Request: ca.Finish}, true, nil }, "", false},
		"another's step":            {func() (ca.Status, bool, error) { return ca.Status{Request: ca.Start}, true, nil }, `"start" was answered`, false},
		"another's that is refused": {func() (ca.Status, bool, error) { return ca.Status{Request: ca.Start, Refused: "x"}, true, nil }, `"start" was answered`, false},
		"nobody looks":              {func() (ca.Status, bool, error) { return ca.Status{Request: ca.Finish}, false, nil }, "nobody looks", true},
		"down for good":             {func() (ca.Status, bool, error) { return ca.Status{}, false, down }, "is down", true},
		"down for a while": {func() (ca.Status, bool, error) {
			if time.Since(began) < 30*time.Second {
				return ca.Status{}, false, down
			}
			return ca.Status{Request: ca.Finish}, true, nil
		}, "", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			began = time.Now()
			store := &spoken{says: func(asked bool) (ca.Status, bool, error) {
				if !asked {
					return ca.Status{}, true, nil
				}
				return c.says()
			}}
			_, err := (&rotation{store: store}).ask(t.Context(), ca.Finish)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || store.withdrawn != c.withdrawn {
				t.Errorf("%s: %v, withdrawn %v; want %q, %v", what, err, store.withdrawn, c.want, c.withdrawn)
			}
		})
	}
}

// What cannot be rotated by its Secret says so.
func TestAClusterWhoseRootIsNotOurs(t *testing.T) {
	none := &clusterMesh{client: fake.NewClientset(), namespace: "istio-system"}
	if _, _, err := (secretStore{none}).status(t.Context()); err == nil || !strings.Contains(err.Error(), "neither a Secret") {
		t.Errorf("without a CA: %v", err)
	}
	former := secretOf("istio-ca-secret", ca.Status{})
	former.Data = map[string][]byte{"ca-key.pem": []byte("x")}
	old := &clusterMesh{client: fake.NewClientset(former), namespace: "istio-system"}
	if _, _, err := (secretStore{old}).status(t.Context()); err == nil || !strings.Contains(err.Error(), "older than this pilotctl") {
		t.Errorf("a control plane that writes no status: %v", err)
	}
	plugged := &clusterMesh{client: fake.NewClientset(former, secretOf("cacerts", ca.Status{})), namespace: "istio-system"}
	if err := (secretStore{plugged}).request(t.Context(), ca.Start); err == nil || !strings.Contains(err.Error(), "istio-system/cacerts: the CA is plugged in") {
		t.Errorf("a plugged-in CA: %v", err)
	}
}
