# Every target works on a fresh machine with Rust, Go and root, and installs what else it needs.
# `make` alone lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
# Static: the C library is linked in, so that the binary runs in an empty image.
IMAGE_TARGET := x86_64-unknown-linux-gnu
API_SERVER := $(CURDIR)/.cache/bin/kube-apiserver
INSTALL_TOOL := scripts/install-cargo-tool
CARGO_DENY := 0.20.2
CARGO_TARPAULIN := 0.37.5

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the release binary: target/release/veilwarden
	$(CARGO) build --locked --release

.PHONY: image-binary
image-binary: ## Build the static release binary: target/x86_64-unknown-linux-gnu/release/veilwarden
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --release --target $(IMAGE_TARGET)

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

.PHONY: test-integration
test-integration: ## The binary and the manifests against a real Kubernetes API server (built once, about six minutes)
	scripts/install-test-tools etcd
	tests/cluster/build-kubernetes kube-apiserver kubectl helm
	VEILWARDEN_KUBE_APISERVER=$(API_SERVER) $(CARGO) test --locked --test cluster

.PHONY: test-image
test-image: image ## The container image: what is in it, and the demonstration run inside
	VEILWARDEN_IMAGE=$(CURDIR)/.cache/image/veilwarden.tar $(CARGO) test --locked --test it deploy::image

.PHONY: test-opa
test-opa: ## Our policy decisions against those of a real OPA
	opa=$$(scripts/install-opa); VEILWARDEN_OPA=$$opa $(CARGO) test --locked --test opa

.PHONY: test-demo
test-demo: ## The release binary's own demonstration, whose five calls must all go as they should
	$(CARGO) run --locked --release -- demo --once

.PHONY: test-tree
test-tree: ## No second cryptographic library in the tree of dependencies
	@ring=$$($(CARGO) tree --locked -i ring 2>/dev/null || true); \
	if [[ -n $$ring ]]; then echo "ring is in the tree; aws-lc-rs is the only one wanted:" >&2; echo "$$ring" >&2; exit 1; fi

.PHONY: test-all
test-all: test test-tree test-opa test-integration test-demo test-image ## Everything that must pass before a change is merged

.PHONY: bench
bench: ## CPU time of the whole road beside a plain nginx, and the parts on their own
	scripts/bench
	$(CARGO) bench --locked

.PHONY: coverage
coverage: ## Line coverage; fails when src/authn is under 80 %
	$(INSTALL_TOOL) cargo-tarpaulin $(CARGO_TARPAULIN) --no-default-features
	scripts/coverage

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
	$(CARGO) clean
	rm -rf .cache
