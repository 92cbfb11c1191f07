# Every target works on a fresh machine with Rust, Go and root, and installs what else it needs.
# `make` alone lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
API_SERVER := $(CURDIR)/.cache/bin/kube-apiserver
INSTALL_TOOL := scripts/install-cargo-tool
CARGO_DENY := 0.20.2
CARGO_TARPAULIN := 0.37.5
MDBOOK := 0.5.4

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the release binary: target/release/veilwarden
	$(CARGO) build --locked --release

.PHONY: demo
demo: ## Show the whole road on loopback, and leave the proxy up to be tried
	$(CARGO) run --locked --release -- demo

.PHONY: test
test: ## Unit tests and tests against played servers: no services, no network
	$(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

.PHONY: test-integration
test-integration: ## The binary against a real Kubernetes API server (built once, about four minutes)
	scripts/install-test-tools etcd
	tests/cluster/build-kubernetes kube-apiserver
	VEILWARDEN_KUBE_APISERVER=$(API_SERVER) $(CARGO) test --locked --test cluster

.PHONY: test-e2e
test-e2e: ## The documents, typed into the real cluster that VEILWARDEN_KUBECTL leads to
	$(CARGO) test --locked --test cluster -- guide::

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
test-all: test test-tree test-opa test-integration test-demo ## Everything that must pass before a change is merged

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

.PHONY: lint
lint: ## Formatting, clippy, shell scripts, workflows, licences and sources of the dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	scripts/lint-scripts
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
