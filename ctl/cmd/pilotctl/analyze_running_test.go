package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What nobody goes by is told of a mesh that runs, with and without files, as of files.
func TestAnalyzeARunningMesh(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mesh.yaml"), runningMesh(t)+`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: lost, namespace: plain}
spec: {hosts: [lost.example.com], gateways: [edgy], http: [{route: [{destination: {host: shop.default.svc.cluster.local}}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: idle}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`)
	file := filepath.Join(t.TempDir(), "new.yaml")
	writeFile(t, file, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edgy, namespace: plain}\nspec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [lost.example.com]}]}\n")
	plane := controlPlane(t, dir, "sidecar~10.9.0.1~client-6d4c-x.default~default.svc.cluster.local", "router~10.9.0.3~edge-1.default~default.svc.cluster.local istio=edge")
	alone := map[string]http.Handler{"istiod-1": plane}
	const lost, idle, secret = "Error [IST0101] (VirtualService plain/lost ", "Error [IST0101] (Gateway default/idle ", "Error [IST0101] (Gateway default/edge "
	for name, c := range map[string]struct {
		replicas map[string]http.Handler
		args     []string
		code     int
		want     []string
		not      []string
	}{
		"all of it":           {alone, nil, exitFindings, []string{lost, idle, secret}, []string{"these files"}},
		"of a namespace":      {alone, []string{"-n", "plain"}, exitFindings, []string{lost}, []string{idle, secret}},
		"as JSON":             {alone, []string{"-o", "json"}, exitFindings, []string{`"origin": "VirtualService plain/lost"`, `"code": "IST0101"`}, nil},
		"what is let pass":    {alone, []string{"-S", "IST0101=* */*", "-S", "IST0101=Gateway default/*", "-S", "IST0101=VirtualService plain/lost"}, 0, []string{"IST0102"}, []string{lost, idle}},
		"with files":          {alone, []string{"--use-kube", "-v", file}, exitFindings, []string{idle, secret, "analyzed the running mesh with " + file}, []string{lost}},
		"files alone":         {alone, []string{file}, exitFindings, []string{"Gateway plain/edgy"}, []string{idle, "default/"}},
		"no mesh and no file": {alone, []string{"--use-kube=false"}, exitFailure, []string{"name a directory or a file"}, nil},
		"revisions":           {map[string]http.Handler{"istiod-a-1": plane, "istiod-b-1": plane}, nil, 1, []string{"name one by --revision"}, nil},
		"one of them":         {map[string]http.Handler{"istiod-a-1": plane, "istiod-b-1": plane}, []string{"--revision", "a"}, exitFindings, []string{lost}, nil},
		"silence":             {map[string]http.Handler{"istiod-1": plane, "istiod-2": nil}, nil, 1, []string{"istiod-2"}, []string{lost}},
	} {
		t.Run(name, func(t *testing.T) {
			out, said, code := pilotctl(t, c.replicas, append([]string{"analyze"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out+said, want) {
					t.Errorf("%q is not said", want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(out+said, not) {
					t.Errorf("%q is said", not)
				}
			}
			if t.Failed() {
				t.Logf("%s%s", out, said)
			}
		})
	}
}

// A Gateway that nobody serves is told by `up` once that lasts, and again when it comes back.
func TestWhatLasts(t *testing.T) {
	idle := model.Problem{Object: model.Key{Kind: model.KindGateway, Name: "idle"}, Message: "nobody serves it"}
	all, l, begin := []model.Problem{idle}, lasting{}, time.Unix(0, 0)
	for _, step := range []struct {
		at   time.Duration
		now  []model.Problem
		told int
	}{{0, all, 0}, {idleFor - 1, all, 0}, {idleFor, all, 1}, {2 * idleFor, nil, 0}, {2*idleFor + 1, all, 0}, {3*idleFor + 1, all, 1}} {
		if got := l.of(step.now, begin.Add(step.at)); len(got) != step.told {
			t.Errorf("after %s %d are told", step.at, len(got))
		}
	}
}
