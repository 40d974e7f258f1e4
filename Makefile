# Two commands on a fresh Debian machine with Rust: `make demo` and `make test`.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo 2>/dev/null)

.PHONY: demo test deps test-deps build lint check unit doc generated fuzz-check install clean

## The main job on an embedded cut of a real capture: verdict, table, advice, patch.
demo: deps
	$(CARGO) build --locked --release --quiet
	./target/release/etcd-doctor diagnose --demo

## Everything that the continuous integration runs.
test: deps test-deps lint unit doc generated fuzz-check

## What building needs beyond Rust: a C compiler for zstd and ring.
deps:
	@command -v cc >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends gcc libc6-dev; }

## What tests need beyond that. Each is optional: a test that lacks it says so and skips.
test-deps:
	@command -v cargo-nextest >/dev/null || $(CARGO) install --locked cargo-nextest --version 0.9.143
	@command -v rustfmt >/dev/null && command -v cargo-clippy >/dev/null || rustup component add rustfmt clippy
	@command -v etcd >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends etcd-server etcd-client; } || echo "no etcd: live tests will skip"

build:
	$(CARGO) build --locked --release

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit:
	$(CARGO) nextest run --locked --no-fail-fast
	$(CARGO) test --locked --doc --quiet

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

## Generated text that is checked in must be up to date.
generated: build-debug
	sh tests/generated.sh

build-debug:
	$(CARGO) build --locked --quiet

fuzz-check:
	$(CARGO) check --locked --manifest-path fuzz/Cargo.toml --quiet

install:
	$(CARGO) install --locked --path . --profile dist

clean:
	$(CARGO) clean
