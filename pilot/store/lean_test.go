package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// leanPod says much about a pod that leads to no row, in between what does.
const leanPod = `---
apiVersion: v1
kind: Pod
metadata:
  name: web-5-x
  namespace: a
  creationTimestamp: "2026-01-01T00:00:00Z"
  deletionTimestamp: "2026-01-02T00:00:00Z"
  resourceVersion: "7"
  generation: 3
  uid: u-u-i-d
  managedFields: [{manager: kubectl, operation: Update, fieldsV1: {"f:metadata": {}}}]
  annotations: {example.org/a: b, traffic.sidecar.istio.io/includeInboundPorts: "80"}
  labels: {app: s0, v: "1", pod-template-hash: "5", security.istio.io/tlsMode: istio, istio-locality: r.z.s, topology.istio.io/network: n9}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5, uid: u, controller: true, blockOwnerDeletion: true}]
spec:
  hostname: h
  subdomain: s0
  nodeName: n
  serviceAccountName: web
  volumes: [{name: v, emptyDir: {}}]
  initContainers: [{name: i, image: i, restartPolicy: Always, ports: [{name: native, containerPort: 90}]}]
  containers:
  - name: c
    image: i
    env: [{name: A, value: b}]
    resources: {limits: {cpu: 100m}}
    ports: [{containerPort: 70}, {name: web, containerPort: 8080}, {name: web, containerPort: 8081, protocol: UDP}]
  - {name: d, image: i}
status:
  phase: Running
  podIP: 10.0.7.7
  podIPs: [{ip: 10.0.7.7}]
  startTime: "2026-01-01T00:00:00Z"
  conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "True", message: m, lastTransitionTime: "2026-01-01T00:00:00Z"}]
  containerStatuses: [{name: c, image: i, imageID: i, ready: true, restartCount: 3}]
`

// collector is a sink that keeps all objects.
type collector struct {
	objects []*model.Object
	done    context.CancelFunc
}

func (c *collector) Apply(_ string, events []model.Event, _ []model.Problem) {
	for _, e := range events {
		c.objects = append(c.objects, e.New)
	}
}

func (c *collector) Synced(string) { c.done() }

// read gives the objects of a directory.
func read(t *testing.T, dir string, lean bool) []*model.Object {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &collector{done: cancel}
	if err := file.New([]string{dir}, file.Options{Lean: lean}).Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	return c.objects
}

// TestLeanObjectsLeadToTheSameRows reads a mesh with and without what a source may leave out.
func TestLeanObjectsLeadToTheSameRows(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = append(append(text, "\n---\n"+variedText()...), leanPod...)
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	full, lean := FromObjects(read(t, dir, false), Options{}), FromObjects(read(t, dir, true), Options{})
	if got, want := describe(lean), describe(full); got != want {
		t.Error(firstDifference(got, want))
	}
	a, b := full.Reader(nil).Pod("", "a", "web-5-x"), lean.Reader(nil).Pod("", "a", "web-5-x")
	if !samePod(b, a) || !(&state{}).sameRows(a, b) {
		t.Errorf("got  %+v\nwant %+v", b.Spec, a.Spec)
	}
	want := &model.Pod{
		IP: "10.0.7.7", ServiceAccount: "web", Hostname: "h", Subdomain: "s0", Node: "n", Workload: "web", Ready: true, Deleting: true,
		Ports:    []model.PodPort{{Name: "web", Number: 8080}, {Name: "web", Number: 8081, UDP: true}, {Name: "native", Number: 90}},
		LongPeer: true,
	}
	if diff := cmp.Diff(want, b.Spec); diff != "" {
		t.Error(diff)
	}
}
