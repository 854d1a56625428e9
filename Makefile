# `make run` starts the switch with a demonstration call; `make test` proves it. Both start from a
# fresh clone and need a Rust toolchain, a C compiler and the network.

CARGO ?= cargo
RUST_MIN := 1.94
OFFHOOK_RELEASE := target/release/offhook
OFFHOOK_DEBUG := target/debug/offhook
FUZZ_SECONDS ?= 60
SIMULATE_RUNS ?= 40

.PHONY: help run build test simulate lint deny fuzz doc interop bench toolchain clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

run: build ## Build, fetch the models and run the demonstration
	$(OFFHOOK_RELEASE) models pull
	$(OFFHOOK_RELEASE) run --demo

build: toolchain ## Build the release binaries
	$(CARGO) build --release --locked --bin offhook
	$(CARGO) build --release --locked --package offhook-phonemes

test: toolchain ## Run every test, with the real models
	$(CARGO) build --locked --workspace --bins
	$(OFFHOOK_DEBUG) models pull
	$(CARGO) test --locked --workspace

simulate: toolchain ## Simulate calls of two, and over a carrier, SIMULATE_RUNS (40) times as many as `make test`
	OFFHOOK_RUNS=$(SIMULATE_RUNS) $(CARGO) test --locked --release --package offhook-sip --test simulation

lint: toolchain ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

deny: toolchain ## Check the licences and sources of what is built in (installs cargo-deny)
	@command -v cargo-deny >/dev/null || [ -x target/tools/bin/cargo-deny ] \
	  || $(CARGO) install --quiet --locked --root target/tools cargo-deny
	PATH="$$PATH:target/tools/bin" cargo-deny --workspace check licenses bans sources

fuzz: toolchain ## Fuzz each parser that faces the network for FUZZ_SECONDS (60)
	@for target in sip_message sip_headers sip_stream user_agent digest sdp crypto codecs media_session srtp; do \
	  fuzz/run $$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; done

doc: toolchain ## Build the API documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

interop: toolchain ## Call real phones and proxies (installs them from Debian and PyPI)
	tests/interop/run

bench: build ## Print the figures that the README quotes
	$(OFFHOOK_RELEASE) models pull
	$(OFFHOOK_RELEASE) bench turn --calls 1
	$(OFFHOOK_RELEASE) bench capacity --calls 100
	$(OFFHOOK_RELEASE) bench switch --calls 300
	$(OFFHOOK_RELEASE) bench sip
	$(OFFHOOK_RELEASE) bench jitter
	$(CARGO) bench --locked --bench invite
	$(CARGO) bench --locked --bench media_tick
	$(CARGO) bench --locked --bench voice -- first_sound
	$(CARGO) bench --locked --bench steps

toolchain:
	@command -v $(CARGO) >/dev/null || { \
	  echo "Offhook needs Rust $(RUST_MIN) or newer: https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "Offhook needs a C compiler: apt-get install build-essential"; exit 1; }
	@version=$$(rustc --version | cut -d' ' -f2); \
	  oldest=$$(printf '%s\n%s\n' "$(RUST_MIN)" "$$version" | sort -V | head -n1); \
	  [ "$$oldest" = "$(RUST_MIN)" ] || { \
	  echo "Offhook needs Rust $(RUST_MIN) or newer; this is $$version: rustup update"; exit 1; }

clean: ## Remove what was built (the models stay in their cache)
	$(CARGO) clean
