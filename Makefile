# SPDX-License-Identifier: GPL-2.0-or-later
#
# The front door. `make help` says what each word does.

BUILD ?= build
JOBS ?= $(shell nproc)
# Line lengths and silence: ./talk passes output on and never stays quiet for more than 4 s.
TALK = ./talk
CTEST_FLAGS ?=

.PHONY: all build program deps deps-lint install run test kernels lint format-check tidy format sanitize fuzz bench clean help

all: program

$(BUILD)/build.ninja:
	@$(TALK) configure cmake --preset default -B $(BUILD) -Wno-dev

# What a user runs; `build` adds every test.
program: $(BUILD)/build.ninja
	@$(TALK) build cmake --build $(BUILD) -j $(JOBS) --target mmquake mmquake-guest

build: $(BUILD)/build.ninja
	@$(TALK) build cmake --build $(BUILD) -j $(JOBS)

deps:
	@$(TALK) deps ./deps.sh

deps-lint:
	@$(TALK) deps ./deps.sh lint

# DESTDIR is for who makes a package. Units and the user: see docs/soak.md.
PREFIX ?= /usr/local
install: program
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX) --strip

run: deps
	@$(MAKE) --no-print-directory program
	@$(BUILD)/mmquake repro uffd-thp-migration

kernels:
	@$(BUILD)/mmquake kernel build clean
	@$(BUILD)/mmquake kernel build specimen
	@$(BUILD)/mmquake kernel build assert
	@if command -v crash >/dev/null; then $(BUILD)/mmquake kernel debug-info specimen; fi

test: deps
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory kernels
	@$(TALK) test ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure $(CTEST_FLAGS)

# The widener's own header keeps the kernel's style.
SOURCES = $(filter-out guest/widener/widener.h,$(shell git ls-files '*.cpp' '*.h'))
TESTS = $(shell git ls-files '*test.cpp' '*_fuzz.cpp')
TIDY = clang-tidy --quiet -p $(BUILD) --extra-arg=-Wno-unknown-warning-option

format: deps-lint
	@clang-format -i $(SOURCES)

lint: format-check tidy

format-check: deps-lint
	@clang-format --dry-run -Werror $(SOURCES)

# The static analyzer takes as long as all other checks together. Tests (where it spends four fifths
# of its time in GoogleMock) and the host (which ASan and UBSan run) go without it.
TIDY_DIRS ?= bench guest host workloads
# With SINCE=REV only what has changed since then.
SINCE ?=
LINTED = $(if $(SINCE),$(filter $(shell git diff --name-only $(SINCE)),$(SOURCES)),$(SOURCES))
TIDY_FILES = $(filter $(addsuffix /%,$(TIDY_DIRS)),$(filter %.cpp,$(LINTED)))
ANALYZED = $(filter-out $(TESTS),$(filter guest/% workloads/%,$(TIDY_FILES)))
tidy: deps deps-lint
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(TALK) clang-tidy sh -c "printf '%s\n' $(ANALYZED) | xargs -r -P $(JOBS) -n 1 $(TIDY)"
	@$(TALK) clang-tidy sh -c "printf '%s\n' $(filter-out $(ANALYZED),$(TIDY_FILES)) | \
	  xargs -r -P $(JOBS) -n 1 $(TIDY) --checks=-clang-analyzer-*"

# Unit tests under ASan+UBSan, then those with threads under TSan.
sanitize: deps
	@for kind in asan tsan; do \
	  $(TALK) "configure $$kind" cmake --preset $$kind -Wno-dev && \
	  $(TALK) "build $$kind" cmake --build build/$$kind -j $(JOBS) --target unit_tests && \
	  $(TALK) "test $$kind" ctest --test-dir build/$$kind -j $(JOBS) --output-on-failure || exit 1; \
	done

# A million inputs for each parser of guest bytes.
FUZZ_RUNS ?= 1000000
fuzz: deps-lint
	@$(TALK) configure cmake --preset fuzz -Wno-dev
	@$(TALK) build cmake --build build/fuzz -j $(JOBS) --target records_fuzz console_fuzz ktap_fuzz registers_fuzz
	@$(TALK) fuzz sh -e -c 'for t in guest/protocol/records host/console/console host/console/ktap host/campaign/registers; do \
	  mkdir -p build/fuzz/found/$$t; \
	  build/fuzz/$${t}_fuzz -runs=$(FUZZ_RUNS) -max_len=65536 -print_final_stats=1 \
	    build/fuzz/found/$$t $$(dirname $$t)/corpus; done'

bench: deps
	@$(MAKE) --no-print-directory build
	@$(BUILD)/mmquake kernel build clean
	@$(BUILD)/bench/boot_bench
	@$(BUILD)/bench/soak_bench
	@$(BUILD)/bench/bisect_bench
	@bench/jobs.sh

clean:
	@rm -rf $(BUILD)

help:
	@echo "make run      install what is missing, build, get the kernels, run the main case"
	@echo "make test     install what is missing, build, get the kernels, run every test"
	@echo "make          build $(BUILD)/mmquake"
	@echo "make deps     install what is missing with apt (sudo when not root)"
	@echo "make install  install below PREFIX ($(PREFIX)), with DESTDIR before it"
	@echo "make kernels  build the kernels that the tests use"
	@echo "make lint     clang-format and clang-tidy (SINCE=REV: what changed); make format mends the first"
	@echo "make sanitize unit tests under ASan+UBSan and under TSan"
	@echo "make fuzz     a million inputs for each parser of guest bytes"
	@echo "make bench    measure mmquake's own time and memory against bare QEMU"
	@echo "make clean    remove $(BUILD); kernels stay in the XDG cache (mmquake kernel gc)"
