# tfleet. `make` alone prints what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: ## A lab fleet on this machine, from different drivers to TensorFlow on every host (SMALL=1: less to build)
	@deploy/quickstart/up.sh

quickstart-down: ## Stop the lab fleet and free its disk
	@deploy/quickstart/down.sh

build: ## The three programs, optimised, in target/release
	@deploy/prepare.sh build
	cargo build --release --locked -p tfleet -p tfleet-agent -p tfleet-coordinator

test: lint ## Everything: style, licences, unit tests, tests on real engines (as root)
	@deploy/prepare.sh engines nextest zigbuild
	@deploy/agent/build-portable.sh dev
	# Tests start programs of other packages and load a library: built with the tests, so that what they share is built once.
	cargo build --locked --workspace --lib --bins --tests
	cargo nextest run --locked --workspace

lint: ## Formatting, clippy, licences
	@deploy/prepare.sh build deny
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --log-level error check licenses bans sources

bench-delivery: ## Delivery against docker save | load, a registry and skopeo; many hosts (as root, an hour; SMALL=1: less)
	@deploy/prepare.sh engines peers
	cargo build --release --locked --workspace --bins --lib
	cargo run --release --locked -p tfleet-tests --bin tfleet-bench -- delivery $(if $(SMALL),--small) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-planning: ## Planning 100,000 hosts, against sorting them
	@deploy/prepare.sh build
	cargo bench --locked -p tfleet-compat --bench planning

# With the tests' programs: most of the time goes into downloads and the engines.
bench-variants: ## Every kind of image with its real wheels: built, delivered, imported (as root, half an hour, 45 GB)
	@deploy/prepare.sh engines
	cargo build --locked --workspace --lib --bins --tests
	cargo run --locked -p tfleet-tests --bin tfleet-bench -- variants $(ROWS)

agent-portable: ## The agent for any distribution with glibc 2.17 or newer, in target/portable
	@deploy/prepare.sh build zigbuild
	@deploy/agent/build-portable.sh

.PHONY: help quickstart quickstart-down build test lint bench-delivery bench-planning bench-variants agent-portable
