# What a contributor runs. `make` alone lists the targets.

SHELL := /bin/bash
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(CARGO_HOME)/bin:$(PATH)

# Real footage for the demo and the tests; both do without.
ifneq ($(wildcard ../shared/data),)
VADIS_DATA ?= $(abspath ../shared/data)
endif
ifdef VADIS_DATA
export VADIS_DATA
endif

# DEMO_PRESET=tiny makes a demo of a minute; FUZZ_SECONDS is spent on each fuzz target.
export DEMO_PRESET FUZZ_SECONDS

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-gpu lint deny fuzz bench bench-peers bench-scoring results clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

setup: ## install what is missing on a Debian machine with Rust
	@scripts/setup

build: setup ## build the vadis command
	cargo build --release --locked --workspace --bins

demo: build ## scan an hour of real footage, or a synthetic scene, and write a report
	@scripts/demo

# Everything uses the release profile, so that the big dependencies are built once.
test: setup ## run all tests
	cargo test --release --locked --workspace

test-gpu: setup ## the networks against PyTorch on the GPU, or on Mesa's software Vulkan where there is none
	@scripts/test-gpu

lint: setup ## check formatting, clippy's lints, the documentation and the scripts
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --workspace --no-deps
	if command -v shellcheck; then shellcheck scripts/* .ci/run; fi

deny: ## check licences, bans and sources of the dependencies (needs cargo-deny)
	cargo deny --locked check licenses bans sources

fuzz: setup ## fuzz every parser for FUZZ_SECONDS (60) each
	@scripts/fuzz

bench: setup ## run the benchmarks
	cargo bench --locked --workspace

bench-peers: setup ## the networks against PyTorch (from PyPI, in .venv); PEERS="--network ae3d --runs 3" for less
	@scripts/bench-peers $(PEERS)

bench-scoring: setup ## whole systems against PyTorch, frames to scores; PEERS="--system ae3d --preset cpu" for less
	@scripts/bench-peers --scoring $(PEERS)

results: setup ## measure every system on real and synthetic footage (hours; taken up where it stopped)
	@scripts/results

clean: ## remove what was built and the demo's runs
	cargo clean
	rm -rf runs/demo runs/scene* fuzz/target
