# Shortcuts only: the build is Meson's (meson.build), each tool explains itself with --help.
#
#   make lab      everything a newcomer needs: installs what is missing, builds, runs the experiment
#   make check    every test
BUILD  ?= build
BROKER ?= filesystem
LAB    ?= leak
ARGS   ?=
PYTEST ?=
CLANG_FORMAT := $(shell command -v clang-format-14 || command -v clang-format)
CLANG_TIDY   := $(shell command -v clang-tidy-14 || command -v clang-tidy)
C_FILES = $(shell find src include tests bench -name '*.[ch]' 2>/dev/null)

.PHONY: all deps lab check unit e2e docker-check layers format check-format tidy asan tsan analyzer clang fuzz \
        interpreters install clean help

# A folder that was configured before there was this DuckDB has no executor for it: look again.
all: $(BUILD)/build.ninja
	@tools/find-duckdb --all 2>/dev/null | while IFS='	' read -r name _; do \
	  grep -qF "src/executor/$$name:" $(BUILD)/build.ninja || { meson setup --reconfigure $(BUILD); break; }; done
	ninja -C $(BUILD)

help:
	@echo "make [all]          build"
	@echo "make lab            run the experiment (LAB=name BROKER=rabbitmq|URL ARGS='--quick ...')"
	@echo "make check          every test: format, layers, unit, end to end"
	@echo "make unit | e2e     one part of them (PYTEST='-k send -x')"
	@echo "make docker-check   the environment in containers, by tools/docker-here where there is no engine"
	@echo "make interpreters   CPython with and without the GIL, DuckDB's library"
	@echo "make deps           install what is missing"
	@echo "make install        (DESTDIR=, or configure with: meson setup --prefix DIR build)"
	@echo "make format | tidy | asan | tsan | analyzer | clang | fuzz"

deps:
	tools/deps

$(BUILD)/build.ninja: | deps
	meson setup $(BUILD)

interpreters: deps
	tools/build-python all
	@# Where DuckDB's own archives are out of reach they come out of package registries.
	tools/fetch-duckdb || { tools/deps registries && tools/fetch-duckdb; }

lab: deps interpreters all
	$(BUILD)/src/cli/gilotine lab $(LAB) --broker $(BROKER) $(ARGS)

check: deps check-format layers interpreters unit e2e

unit: all
	meson test -C $(BUILD) --print-errorlogs --suite unit

# The tests' own interpreter is one of those that interpreters: makes.
e2e: interpreters all
	GILOTINE_BUILD=$(abspath $(BUILD)) tools/pytest tests/e2e $(PYTEST)

# The environment in containers. What it starts, an engine included, it stops.
docker-check: interpreters all
	GILOTINE_BUILD=$(abspath $(BUILD)) tools/pytest tests/docker $(PYTEST)

layers:
	tools/check-layers

format:
	$(CLANG_FORMAT) -i $(C_FILES)

check-format:
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

tidy: clang
	$(CLANG_TIDY) --quiet -p build-clang $(shell find src -name '*.c')

# The same tests in other builds.
asan:
	test -d build-asan || CC=clang-14 meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	meson test -C build-asan --print-errorlogs --suite unit

# The engine and the executor's control: what has threads.
tsan:
	test -d build-tsan || CC=clang-14 meson setup build-tsan -Db_sanitize=thread -Db_lundef=false
	meson test -C build-tsan --print-errorlogs engine control pool pool_model

clang:
	test -d build-clang || CC=clang-14 meson setup build-clang
	meson test -C build-clang --print-errorlogs --suite unit

analyzer:
	test -d build-analyzer || meson setup build-analyzer -Danalyzer=true
	ninja -C build-analyzer

fuzz:
	test -d build-fuzz || CC=clang-14 meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
	ninja -C build-fuzz
	tools/fuzz build-fuzz

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-tsan build-clang build-analyzer build-fuzz
