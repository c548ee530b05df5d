# What people and CI run. Everything fetched goes to .cache/.

PYTHON ?= python3
CARGO ?= cargo
ENVOY ?= 1.40.0

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What is not there by default: rules in JavaScript. `make module FEATURES=` leaves it out.
FEATURES ?= javascript
WITH = $(if $(FEATURES),--features $(FEATURES))

.PHONY: module
module: ## Builds target/release/libportcullis.so, what Envoy loads
	$(CARGO) build --release -p portcullis-envoy-module $(WITH)

.PHONY: program
program: ## Builds target/debug/portcullis
	$(CARGO) build -p portcullis-cli $(WITH)

.PHONY: demo
demo: module ## Plays the fleet policy of the Cilium 1.3 announcement on a real Envoy and a real memcached
	$(PYTHON) demo/run.py

.PHONY: demo-admission
demo-admission: module ## Plays admission hooks on a real Envoy that is the webhook
	$(MAKE) program
	$(PYTHON) demo/admission.py

.PHONY: test
test: test-unit test-envoy ## Runs all tests but the slow ones

.PHONY: test-unit
test-unit: ## Unit, property, scenario and differential tests
	@$(PYTHON) tools/fetch-memcached > /dev/null || true
	@$(PYTHON) tools/fetch-cassandra > /dev/null || true
	PROPTEST_RNG_SEED=$${PROPTEST_RNG_SEED-1} $(CARGO) test $(EVERYTHING)

# All crates with the same features whatever is tested, so that nothing is built twice.
EVERYTHING = --workspace --features portcullis-parsers/javascript,portcullis-cli/javascript,portcullis-tests/javascript

.PHONY: test-properties
test-properties: ## The property tests with many cases, and others each time: what they find becomes a test of its own
	PROPTEST_CASES=$${PROPTEST_CASES-5000} $(CARGO) test -p portcullis-policy -p portcullis-proxylib -p portcullis-parsers --lib

.PHONY: test-envoy
test-envoy: module test-modules ## The scenario corpus and real clients through a real Envoy
	$(PYTHON) tests/e2e/run.py --envoy $(ENVOY)

.PHONY: test-modules
test-modules:
	$(CARGO) build --release -p portcullis-test-module -p portcullis-example-c3po

.PHONY: libcilium
libcilium: ## Builds target/release/libcilium.so, what Cilium's Envoy loads
	$(CARGO) build --release -p portcullis-libcilium-module

.PHONY: test-libcilium
test-libcilium: libcilium ## The C ABI, as a driver in C sees it: plain, under valgrind, with sanitizers
	$(CARGO) build --release -p portcullis-test-libcilium
	$(PYTHON) tests/libcilium/run.py

.PHONY: test-libcilium-sanitizers
test-libcilium-sanitizers: test-libcilium ## The same, the library itself built with sanitizers; needs a nightly toolchain
	$(PYTHON) tests/libcilium/run.py --sanitizers

.PHONY: wasm
wasm: ## Builds target/wasm/portcullis.wasm and portcullis-admission.wasm, what proxy-wasm hosts load
	cargo=$$($(PYTHON) tools/fetch-wasm-toolchain) && $(WASM_BUILD) -p portcullis-wasm-module -p portcullis-wasm-admission
	cp target/wasm/wasm32-unknown-unknown/wasm/portcullis_module.wasm target/wasm/portcullis.wasm
	cp target/wasm/wasm32-unknown-unknown/wasm/portcullis_admission.wasm target/wasm/portcullis-admission.wasm
	@wc -c target/wasm/portcullis*.wasm

# A directory of its own: another compiler than the rest has, most likely. No module needs to know where its sources were.
WASM_BUILD = CARGO_TARGET_DIR=target/wasm RUSTFLAGS="--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}/registry/src/=" $$cargo build --profile wasm --target wasm32-unknown-unknown

.PHONY: test-wasm
test-wasm: ## The proxy-wasm modules in a real Envoy: the scenario corpus, memcached, Cassandra and real clients
	@if $(PYTHON) tools/fetch-wasm-toolchain > /dev/null; then $(MAKE) test-wasm-here; \
	else echo "SKIPPED test-wasm: no toolchain, see above"; test -z "$$PORTCULLIS_NO_SKIP"; fi

.PHONY: test-wasm-here
test-wasm-here: wasm
	cargo=$$($(PYTHON) tools/fetch-wasm-toolchain) && $(WASM_BUILD) -p portcullis-test-wasm
	PORTCULLIS_TRANSCRIPTS=$(CURDIR)/target/wasm/transcripts $(CARGO) test $(EVERYTHING) --test connections --test exchanges
	$(PYTHON) tests/wasm/run.py --envoy $(ENVOY)

.PHONY: test-memcached
test-memcached: module ## memccapable, real clients, and memcached's own tests, through a real Envoy and without it
	$(PYTHON) tests/conformance/run.py --envoy $(ENVOY)

.PHONY: test-cassandra
test-cassandra: module ## A real Cassandra behind a real Envoy: drivers for Python, Node and Rust, cqlsh, and a bypass hunt
	$(PYTHON) tests/cassandra/run.py --envoy $(ENVOY)

.PHONY: test-kubernetes
test-kubernetes: module ## A real kube-apiserver with a real Envoy as its webhook, driven with kubectl
	$(MAKE) program
	$(PYTHON) tests/kubernetes/run.py --envoy $(ENVOY)

.PHONY: test-cli
test-cli: ## The program on large captures, in a terminal, under signals; its report in a Chromium, if there is one
	$(MAKE) program
	$(PYTHON) cli/tests/run.py $(CLI_TESTS)

.PHONY: test-gatekeeper
test-gatekeeper: ## Gatekeeper's templates and constraints, by suites of our own
	$(CARGO) run --quiet -p portcullis-cli $(WITH) -- admission verify tests/gatekeeper/...

.PHONY: test-gatekeeper-library
test-gatekeeper-library: program ## Gatekeeper's public library and its older versions, by `portcullis admission verify`
	$(PYTHON) tests/gatekeeper/library.py

.PHONY: test-mutants
test-mutants: ## Puts known ways past such filters back, one at a time: the differential test must find each
	$(CARGO) test -p portcullis-tests --features mutants --test memcached_differential -- --nocapture known

.PHONY: test-matrix
test-matrix: module test-modules ## test-envoy on every supported version of Envoy
	for version in 1.38.3 1.39.3 1.40.0; do $(PYTHON) tests/e2e/run.py --envoy $$version || exit 1; done

.PHONY: lint
lint: ## rustfmt, clippy with warnings as errors, docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --quiet

.PHONY: bench
bench: module ## The core per request (criterion), and Envoy's CPU per request against tcp_proxy
	$(CARGO) bench -p portcullis-tests
	$(CARGO) bench -p portcullis-policy
	$(PYTHON) tests/bench/engines.py
	$(PYTHON) tests/bench/envoy.py
	$(PYTHON) tests/bench/admission.py
	$(MAKE) bench-libcilium

.PHONY: bench-libcilium
bench-libcilium: ## libcilium.so through the C ABI; beside another one with REFERENCE=FILE
	$(CARGO) build --release -p portcullis-test-libcilium
	$(CARGO) run --release -p portcullis-bench-libcilium -- target/release/libcilium_test.so $(REFERENCE)

.PHONY: fuzz-smoke
fuzz-smoke: ## Every fuzz target for a short while; needs a nightly toolchain
	fuzz/run --seconds 30

.PHONY: fuzz
fuzz: ## Every fuzz target for a long while, and many more differential cases
	fuzz/run --seconds 1800
	PORTCULLIS_CASES=200000 $(CARGO) test --release -p portcullis-tests --test memcached_differential -- --nocapture

.PHONY: doc
doc: ## The API documentation, in target/doc
	$(CARGO) doc --workspace --no-deps

.PHONY: clean
clean: ## Removes what was built and fetched
	$(CARGO) clean
	rm -rf .cache
