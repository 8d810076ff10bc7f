# What is built, and how it is laid out. `make home DIR=path` is the way to try it.

PROFILE ?= release
CARGO   ?= cargo

# Cargo puts the profile `dev` into target/debug.
TARGET  := target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

# `plugins/donations/0.2.0` is the package donations-v0-2-0.
PLUGINS := $(shell sed -n 's|^path = "plugins/\(.*\)/\(.*\)"|\1-v\2|p' host/releases/[0-9]*.toml | tr . - | sort -u)

.PHONY: bench build crash demo fuzz home lint serve soak test

# Said before anything is built.
ifneq ($(filter home,$(MAKECMDGOALS)),)
$(if $(DIR),,$(error say where: make home DIR=path))
endif

# The host, and every plugin that a release names.
build:
	$(CARGO) build --profile $(PROFILE) -p host $(addprefix -p ,$(PLUGINS))

# A home in DIR, ready for `bin/host start` and `bin/host upgrade 0.2.0`.
home: build
	@scripts/home.sh "$(DIR)" "$(TARGET)"

# What clients see of an upgrade, beside the same with Erlang/OTP, and what single
# steps cost. BENCH_ACTORS=1000 BENCH_RUNS=1 is a quick look.
bench:
	@scripts/bench.sh

# Bytes that break what is read back from disk or sent by clients, looked for by a fuzzer.
fuzz:
	@scripts/fuzz.sh

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# What takes long: every step of an upgrade × every fault, under load; a thousand cycles up
# and down with flat memory; kill -9; 10,000 campaigns over two versions. ROUNDS=n or
# MINUTES=n through the matrix, CYCLES=n, SEED=n; SOAK_PARTS="matrix cycles" runs some.
soak: build
	$(CARGO) build --profile $(PROFILE) -p e2e-disk -p faulty-v0-1-0 -p faulty-v0-2-0 -p raw-v0-1-0
	$(CARGO) build --profile $(PROFILE) -p e2e --bin soak --bin crash
	@scripts/soak.sh $(TARGET)

# All tests, from the parts to a host under kill -9, and the lints.
test:
	@scripts/test.sh

# Half a minute of upgrades under load, in a folder of its own.
demo: build
	$(CARGO) build --profile $(PROFILE) -p e2e --bin demo
	@scripts/demo.sh $(TARGET)

# One host with the example platform, to play with until Ctrl-C. PORT=n ADMIN_PORT=n
# where 4000 and 4001 are taken.
serve: build
	@scripts/serve.sh $(TARGET)

# MINUTES of load, upgrades and kill -9, with every gift looked for behind each
# restart. SEED=n repeats the choices of a run; STORE=postgres kills the server, too.
MINUTES ?= 1
STORE   ?= sqlite
crash: build
	$(CARGO) build --profile $(PROFILE) -p e2e --bin crash
	@MINUTES=$(MINUTES) SEED=$(SEED) STORE=$(STORE) scripts/crash.sh $(TARGET)
