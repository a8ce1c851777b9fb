# The front door. `make` lists what one can do; every target installs what it needs first and says so.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: balancing help setup demo check test unit suite docs deny h2spec grpc blackbox chart chart-write e2e e2e-fast e2e-full conformance conformance-cache conformance-grpc cluster-tools image fuzz bench bench-peers bench-balancing bench-cluster release clean

CARGO := cargo
BINARY := target/debug/fairlead
RELEASE := target/release/fairlead
FUZZ_SECONDS ?= 30
export PYTHONPATH := $(CURDIR)/tests/blackbox:$(CURDIR)/benches
export PYTHONDONTWRITEBYTECODE := 1

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what `make demo` and `make test` need (they also do it themselves)
	@scripts/setup.sh build test

demo: ## Build and run the demo: a small shop on http://127.0.0.1:8080 and https://127.0.0.1:8443
	@scripts/setup.sh build
	$(CARGO) build --bin fairlead
	$(BINARY) demo

check: ## The quick inner loop: format, clippy with warnings as errors, unit tests
	@scripts/setup.sh build
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test --lib

test: ## Everything: check, all tests, docs, fuzz corpus, licences, h2spec, gRPC interop, the binary from outside, the chart, a real Kubernetes
	@scripts/setup.sh test e2e
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test
	$(MAKE) --no-print-directory docs deny h2spec grpc blackbox chart e2e
	@echo "make test: all passed"

docs: ## The code's documentation, without warnings
	@scripts/setup.sh build
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

deny: ## Licences, duplicate and banned dependencies, sources
	@scripts/setup.sh test
	.tools/bin/cargo-deny --locked check licenses bans sources

h2spec: ## The HTTP/2 conformance test h2spec: 145 of 145, over TLS and in clear text
	@scripts/setup.sh test
	$(CARGO) build --bin fairlead
	python3 tests/blackbox/h2spec.py $(BINARY) .tools/bin/h2spec

blackbox: ## Folder mode, ingress-nginx's behaviour and the demo seen from outside, on the built binary
	@scripts/setup.sh test
	$(CARGO) build --bin fairlead
	python3 tests/blackbox/folder_mode.py $(BINARY)
	python3 tests/blackbox/ingress_nginx.py $(BINARY)
	python3 tests/blackbox/demo.py $(BINARY)

HELMS := $(CURDIR)/.tools/bin/helm4 $(CURDIR)/.tools/bin/helm3

chart: ## The Helm chart with Helm 3 and 4, without a cluster; its README, schema and manifests/ are current
	@scripts/setup.sh chart
	python3 scripts/chart.py check $(firstword $(HELMS))
	HELMS="$(HELMS)" .tools/kubernetes-validate/bin/python -m unittest discover --start-directory tests/chart

chart-write: ## Write what is made from the chart's values: README, schema, list of keys, manifests/
	@scripts/setup.sh chart
	python3 scripts/chart.py write $(firstword $(HELMS))

e2e: ## The tests on a real Kubernetes, both halves; as root, else by sudo (namespaces, containers)
	@$(MAKE) --no-print-directory e2e-fast e2e-full

e2e-fast: cluster-tools ## etcd and API server, the controller as a process; TESTS="word..." runs only some
	$(CARGO) build --bin fairlead
	python3 e2e/run.py fast $(TESTS)

e2e-full: cluster-tools ## A whole node with pods, Helm and our image; TESTS="word..." runs only some
	$(CARGO) build --bin fairlead
	python3 e2e/run.py full $(TESTS)

conformance: cluster-tools ## The Ingress conformance scenarios on the whole node; writes docs/conformance/ingress.md
	FAIRLEAD_E2E_REPORT=$(CURDIR)/docs/conformance/ingress.md python3 e2e/run.py full conformance

conformance-grpc: ## The gRPC interop cases of grpc-go, in clear text and over TLS; writes docs/conformance/grpc.md
	@scripts/setup.sh build grpc
	$(CARGO) build --bin fairlead
	python3 tests/blackbox/grpc_interop.py $(BINARY) .tools/bin docs/conformance/grpc.md

grpc: ## The gRPC interop cases, without writing; about a minute
	@scripts/setup.sh test grpc
	$(CARGO) build --bin fairlead
	python3 tests/blackbox/grpc_interop.py $(BINARY) .tools/bin

conformance-cache: ## The public suite of tests for HTTP caches; writes docs/conformance/cache.md
	@scripts/setup.sh build cache
	$(CARGO) build --bin fairlead
	python3 tests/blackbox/cache_tests.py $(BINARY) .tools/http-cache-tests/node_modules/http-cache-tests docs/conformance/cache.md

cluster-tools: ## The programs of the test cluster; about 10 minutes once, then kept in ~/.cache/fairlead-e2e
	@scripts/setup.sh e2e
	@python3 e2e/run.py tools >/dev/null

image: ## The container image from the Dockerfile, without Docker: target/image/fairlead.tar
	@scripts/setup.sh e2e
	python3 e2e/image.py

fuzz: ## Run each fuzz target for FUZZ_SECONDS (30)
	@scripts/setup.sh fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS)

release: ## The optimised binary, target/release/fairlead
	@scripts/setup.sh build
	$(CARGO) build --release --bin fairlead

bench: ## Benchmarks beside their goals: look-ups, picks, compile, instructions, memory, a changed file
	@scripts/setup.sh bench
	$(CARGO) build --release --bin fairlead --bench peers
	missed=0; \
	$(CARGO) bench --bench routing || missed=1; \
	python3 benches/instructions/per_request.py $(RELEASE) || missed=1; \
	python3 benches/memory.py $(RELEASE) || missed=1; \
	python3 benches/change.py $(RELEASE) || missed=1; \
	exit $$missed

balancing: ## Simulate every algorithm in virtual time; writes the table and the plot of docs/balancing.md
	@scripts/setup.sh build
	BALANCING_WRITE=1 $(CARGO) test --test suite balancing:: -- --nocapture

bench-peers: ## The same load side by side with nginx, one worker each on one core; compression and cache too
	@scripts/setup.sh bench
	$(CARGO) build --release --bin fairlead --bench peers
	missed=0; \
	python3 benches/peers/side_by_side.py $(RELEASE) || missed=1; \
	python3 benches/peers/features.py $(RELEASE) || missed=1; \
	exit $$missed

bench-balancing: ## Ten real back ends, one of them sick, behind HAProxy and behind Fairlead: p99 and errors; over an hour
	@scripts/setup.sh bench
	$(CARGO) build --release --bin fairlead --bench peers
	python3 benches/peers/balancing.py $(RELEASE)

bench-cluster: cluster-tools ## On a real API server: a change until it is served, start, memory and CPU at 5,000 Ingresses; needs root
	@scripts/setup.sh build
	$(CARGO) build --release --bin fairlead
	FAIRLEAD_E2E_BINARY=$(CURDIR)/$(RELEASE) python3 e2e/run.py figures

clean: ## Remove what was built and installed here
	rm -rf target .tools
