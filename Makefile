# Every target works on a fresh machine with Rust, Go and root, and installs what else it needs.
# `make` alone lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
TARGET ?= gate
MINUTES ?= 10
SHARD ?=
# Static: the C library is linked in, so that the binary runs in an empty image.
IMAGE_TARGET := x86_64-unknown-linux-gnu
STATIC := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
# What runs lies side by side, so that less of the program gets mapped into memory: docs/performance.md. rustc's linker for
# this target is lld. The program is stripped here and not by its profile, whose value is in the hashes of the names.
STRIP ?= symbols
LAYOUT := -C link-arg=-Wl,--symbol-ordering-file=layout/functions -C link-arg=-Wl,--no-warn-symbol-ordering
API_SERVER := $(CURDIR)/.cache/bin/kube-apiserver
NODES := tests/cluster/nodes
INSTALL_TOOL := scripts/install-cargo-tool
CARGO_DENY := 0.20.2
CARGO_TARPAULIN := 0.37.5
CARGO_FUZZ := 0.13.2
CARGO_MUTANTS := 27.1.0
MDBOOK := 0.5.4

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the release binary: target/release/veilwarden
	$(CARGO) build --locked --release

.PHONY: image-binary
image-binary: ## Build the static release binary: target/x86_64-unknown-linux-gnu/release/veilwarden
	RUSTFLAGS="$(STATIC) $(LAYOUT) -C strip=$(STRIP)" $(CARGO) build --locked --release --target $(IMAGE_TARGET)

.PHONY: image
image: image-binary ## Build the container image without Docker: .cache/image/veilwarden.tar
	scripts/image

.PHONY: demo
demo: ## Show the whole road on loopback, and leave the proxy up to be tried
	$(CARGO) run --locked --release -- demo

.PHONY: test
test: ## Unit tests and tests against played servers: no services, no network
	$(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

.PHONY: chaos
chaos: ## 100,000 requests among faults of every kind; prints its seed, and SEED=n repeats it (two minutes)
	$(if $(SEED),SEED=$(SEED)) $(CARGO) test --locked --test chaos -- --ignored --exact --nocapture a_hundred_thousand_requests

.PHONY: soak
soak: ## The same at 30 % load for MINUTES=n; prints how memory and descriptors grow
	MINUTES=$(or $(MINUTES),10) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --locked --test chaos -- --ignored --exact --nocapture k24_a_soak

.PHONY: test-clients
test-clients: ## Real clients through the proxy, as docs/clients.md says (Python, npm, Go)
	scripts/install-test-tools curl git haproxy nginx
	clients=$$(scripts/install-clients); VEILWARDEN_CLIENTS=$$clients $(CARGO) test --locked --test clients

.PHONY: test-integration
test-integration: ## The binary and the manifests against a real Kubernetes API server (built once, about six minutes)
	scripts/install-test-tools etcd
	tests/cluster/build-kubernetes kube-apiserver kubectl helm
	VEILWARDEN_KUBE_APISERVER=$(API_SERVER) $(CARGO) test --locked --test cluster

.PHONY: cluster-tools
cluster-tools:
	scripts/install-test-tools etcd containerd runc ptp iptables ip conntrack busybox openssl curl buildah
	tests/cluster/build-kubernetes kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns helm
	tests/cluster/images pause
	tests/cluster/images client

.PHONY: cluster-up
cluster-up: cluster-tools ## Start a real Kubernetes with two nodes here (root; Go; built once, about eight minutes)
	$(NODES) up
	$(NODES) load .cache/images/client.tar
	@echo
	@echo '  make kubectl ARGS="get nodes"             kubectl with every right'
	@echo '  eval "$$($(NODES) env)"       for tests: VEILWARDEN_KUBECTL, VEILWARDEN_HELM, KUBECONFIG'
	@echo '  $(NODES) load IMAGE.tar       make an image known to both nodes'
	@echo '  make cluster-down                         end it; nothing stays behind'

.PHONY: cluster-down
cluster-down: ## End that Kubernetes and leave nothing behind
	$(NODES) down

.PHONY: kubectl
kubectl: ## kubectl for that Kubernetes: make kubectl ARGS="get pods --all-namespaces"
	@$(NODES) kubectl $(ARGS)

.PHONY: test-nodes
test-nodes: cluster-tools ## That Kubernetes itself: it works, and nothing of it is left behind, whatever happens
	tests/cluster/test-nodes

.PHONY: test-e2e
test-e2e: image cluster-tools ## The image in a real cluster of two nodes, called by pods (root)
	scripts/test_k8s_e2e.sh

# The kubelet renews a token after eight minutes: what waits for that is started before the other tests.
.PHONY: begin-e2e
begin-e2e: image cluster-tools
	$(CARGO) test --locked --all-targets --no-run
	scripts/test_k8s_e2e.sh begin

.PHONY: test-documents
test-documents: image cluster-tools ## What the documents say to type into a cluster, typed into an empty one (root)
	scripts/test_k8s_e2e.sh documents

.PHONY: test-image
test-image: image ## The container image: what is in it, and the demonstration run inside
	VEILWARDEN_IMAGE=$(CURDIR)/.cache/image/veilwarden.tar $(CARGO) test --locked --test it deploy::image

.PHONY: test-ssrf
test-ssrf: ## Addresses never dialled, names that lead there, ports that run out: in a network of their own (root)
	scripts/install-test-tools ip
	$(CARGO) test --locked --test it -- --ignored ssrf:: limits::ports::

.PHONY: test-opa
test-opa: ## Our policy decisions against those of a real OPA
	opa=$$(scripts/install-opa); VEILWARDEN_OPA=$$opa $(CARGO) test --locked --test opa

.PHONY: test-demo
test-demo: image-binary ## The release binary's own demonstration, whose five calls must all go as they should
	target/$(IMAGE_TARGET)/release/veilwarden demo --once

.PHONY: test-tree
test-tree: ## No second cryptographic library in the tree of dependencies
	@ring=$$($(CARGO) tree --locked -i ring 2>/dev/null || true); \
	if [[ -n $$ring ]]; then echo "ring is in the tree; aws-lc-rs is the only one wanted:" >&2; echo "$$ring" >&2; exit 1; fi

.PHONY: test-all
test-all: ## Everything that must pass before a change is merged; prints how long each part took
	scripts/test-all

.PHONY: bench
bench: ## CPU time of the whole road beside a plain nginx, and the parts on their own
	scripts/bench
	$(CARGO) bench --locked

.PHONY: docs
docs: ## Build the documents as a book: target/book
	$(INSTALL_TOOL) mdbook $(MDBOOK) --no-default-features
	scripts/build-docs

.PHONY: coverage
coverage: ## Line coverage; fails when src/authn is under 80 %
	$(INSTALL_TOOL) cargo-tarpaulin $(CARGO_TARPAULIN) --no-default-features
	scripts/coverage

# Without a sanitizer: the library forbids unsafe code, and what is looked for is a panic. New inputs go to .cache, so that
# the corpus stays the small one that was made by hand; fuzz/artifacts has the input that broke something.
.PHONY: fuzz
fuzz: ## One fuzz target for some minutes (a nightly compiler): make fuzz TARGET=gate MINUTES=10
	$(INSTALL_TOOL) cargo-fuzz $(CARGO_FUZZ)
	mkdir -p .cache/fuzz/$(TARGET)
	nice -n 19 $(CARGO) +nightly fuzz run -s none $(TARGET) .cache/fuzz/$(TARGET) fuzz/corpus/$(TARGET) -- \
		-max_total_time=$$(($(MINUTES) * 60)) -max_len=4096 -timeout=10 -print_final_stats=1

.PHONY: mutants
mutants: ## Small changes of gate, request and stages that a unit test has to notice: make mutants SHARD=0/16
	$(INSTALL_TOOL) cargo-mutants $(CARGO_MUTANTS)
	scripts/mutants $(SHARD)

.PHONY: lint
lint: ## Formatting, clippy, shell scripts, workflows, Dockerfile, licences and sources of the dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	scripts/lint-scripts
	hadolint=$$(scripts/install-hadolint); "$$hadolint" Dockerfile
	$(INSTALL_TOOL) cargo-deny $(CARGO_DENY)
	$(CARGO) deny --locked check --hide-inclusion-graph bans licenses sources

.PHONY: advisories
advisories: ## Known weaknesses of the dependencies; downloads RustSec's list
	$(INSTALL_TOOL) cargo-deny $(CARGO_DENY)
	$(CARGO) deny --locked check advisories

.PHONY: clean
clean: ## Remove what was built and what was cached in this checkout
	$(NODES) down
	$(CARGO) clean
	rm -rf .cache
