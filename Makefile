# SPDX-License-Identifier: BSD-3-Clause
#
# make help    these lines
# make demo    the first ten minutes, all set-up included
# make setup   the virtual environment in .venv, with the shim and the stub built
# make test    everything that is tested (C under ASan and UBSan, then pytest)
# make deps    install the Debian packages without which tests are skipped
# make labs    the packages of labs, 200 MB, without which their tests are skipped
# make kernel  build the kernel that tests/kernel boots (make test does it too)
# make qemu    exported lines in a PC of QEMU's, with a kernel that this builds
# make fuzz    libFuzzer on what peers send, FUZZ_SECONDS in all
# make soak    chaos around one service, for SECONDS=60
# make tsan    C tests and a soak under ThreadSanitizer
# make analyze gcc's and clang's analyzers
# make coverage  how much of Python and of C the tests run, but for those inside kernels
# make lint    ruff, mypy --strict, who may use whom, C warnings as errors, clang-tidy
# make docs    the pages as a site, in build/site
# make fresh   the README's commands on a Debian 12 and a Debian 13 that have nothing else
# make dist    an sdist and a wheel in build/dist
# make wheels  wheels for x86-64, ARM of 64 and 32 bits and RISC-V in build/wheels
# make deb     Debian packages in build/deb, for this Debian; DEB_ARCH=arm64 or armhf for a board
# make deb-12  the same on a Debian 12 that has nothing else, and into another; deb-13
# make test-arm  C tests, and the stub in end-to-end tests, as programs of ARM, by qemu-user
# make test-board  wheels in emulated Debians of ARM, by the commands of docs/packages.md
# make mcu     the firmware for the microcontrollers that QEMU runs, and its footprint
# make footprint  the size of the firmware core, by this machine's compiler
# make bench   the benchmark's table
# make install-system  udev rules, systemd units, sysusers and tmpfiles below DESTDIR
# make install-help  manual pages and shell completion below DESTDIR
# make clean   remove all that was made in this tree
#
# V=1 shows the compiler's command lines, PYTHON= takes another Python than python3,
# PYTEST_ARGS= goes to pytest (-n0: one test after the other, for -s and --pdb).

ifneq ($(firstword $(sort 4.0 $(MAKE_VERSION))),4.0)
$(error GNU make 4.0 or newer is needed, this is $(MAKE_VERSION): install the package make)
endif

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD := build
# make V=1 shows the compiler's command lines
Q := $(if $(V),,@)

CORE := $(wildcard firmware_stub/core/*.c)
REMOTE := $(wildcard firmware_stub/remote/*.c)
HOST := $(wildcard firmware_stub/host/*/*.c)
PORT := $(wildcard firmware_stub/ports/host/*.c)
LINUX := $(wildcard firmware_stub/ports/linux/*.c)
SHIM := $(wildcard bridge/shim/*/*.c)
BENCH := $(wildcard bridge/bench/native/[a-z]*.c)
PRELOAD := $(wildcard bridge/preload/*.c)
PLUG := bridge/plug/main.c
C_SOURCES := $(CORE) $(REMOTE) $(HOST) $(PORT) $(LINUX) $(SHIM) $(BENCH) $(PLUG)
HEADERS := $(wildcard firmware_stub/*/*.h firmware_stub/*/*/*.h bridge/shim/*/*.h bridge/bench/native/*.h bridge/preload/*.h tests/*.h tests/*/*.h tests/firmware_stub/broken/*.h)
C_TESTS := $(sort $(shell find tests -name 'test_*.c'))
# What the stub of the tests has beside that of the product: rules of the protocol to break.
BROKEN := $(wildcard tests/firmware_stub/broken/*.c)
FUZZ_TARGETS := $(patsubst tests/fuzz/target_%.c,%,$(sort $(wildcard tests/fuzz/target_*.c)))

INCLUDES := -Ifirmware_stub/core -Ifirmware_stub/remote -Ifirmware_stub/host \
	-Ifirmware_stub/ports/host -Ifirmware_stub/ports/linux -Ibridge/shim -Ibridge/bench/native -Itests \
	-include firmware_stub/ports/host/core_config.h
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wconversion -Wno-sign-conversion -Werror
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_ASAN := -std=gnu11 -O1 -g $(WARNINGS) $(SANITIZERS) $(INCLUDES)
CFLAGS_CORE := -std=c99 -pedantic -ffreestanding -Os $(WARNINGS) -Ifirmware_stub/core -Ifirmware_stub/remote

ASAN_OBJECTS := $(C_SOURCES:%.c=$(BUILD)/asan/%.o)
ASAN_LIBRARY := $(filter-out %/main.o,$(ASAN_OBJECTS))
ASAN_BROKEN := $(BROKEN:%.c=$(BUILD)/asan/%.o)
ASAN_STUB := $(BUILD)/asan/firmware-stub
ASAN_TESTS := $(C_TESTS:%.c=$(BUILD)/asan/%)

.PHONY: all help setup demo deps labs kernel qemu test programs ctest pytest fuzz fuzz-build fuzz-replay tsan \
	soak analyze coverage lint docs fresh dist wheels deb test-arm test-board bench footprint mcu install-system install-help clean

all: setup

help:
	@sed -n '/^$$/q; s/^# \?//; /^make/,$$p' Makefile

# Stamps in .venv say what is in it. They go when it does not work any more, because it
# was moved or its Python is gone; tools/setup then makes it anew.
ifneq ($(wildcard $(VENV)/.stamp),)
$(shell { $(BIN)/python -c 'import pip' && grep -qF '$(CURDIR)/$(VENV)' $(BIN)/pip; } >&2 \
	2>/dev/null || rm -f $(VENV)/.stamp)
endif

# The stamp depends on what a build reads; Python files are used in place.
$(VENV)/.stamp: pyproject.toml setup.py bridge/shim/build.py bridge/shim/declarations.py bridge/shim/_shim.pyi bridge/bench/native/build.py bridge/bench/native/_native.pyi $(C_SOURCES) $(PRELOAD) $(HEADERS)
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) is not installed:" \
		"sudo apt install python3-dev python3-venv"; exit 1; }
	@$(PYTHON) tools/setup build rpmsg serial
	@touch $@

# What the tests and the linters need beside.
$(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.coverage $(VENV)/.wheels: $(VENV)/.%: $(VENV)/.stamp
	@$(PYTHON) tools/setup add $*
	@touch $@

setup: $(VENV)/.stamp

demo: setup
	$(BIN)/gpio-bridge demo

bench: setup
	$(BIN)/gpio-bridge bench

# Packages of this tree: the wheel is made from the sdist, as it is elsewhere.
dist: setup
	@rm -rf $(BUILD)/dist
	$(BIN)/python -c 'from setuptools.build_meta import build_sdist; build_sdist("$(BUILD)/dist")' \
		>$(BUILD)/dist.log
	$(BIN)/python -m pip wheel --quiet --no-index --no-deps --no-build-isolation \
		--wheel-dir $(BUILD)/dist $(BUILD)/dist/*.tar.gz
	@ls -l $(BUILD)/dist

# Wheels for boards, by a compiler for all of them: see tools/wheels.
wheels: $(VENV)/.wheels
	$(BIN)/python tools/wheels

# Debian packages, of a copy of this tree; those of a board are cross compiled, without the ones
# that serve every machine.
DEB_ARCH ?=
DEB_FLAGS = $(if $(DEB_ARCH),-B --host-arch=$(DEB_ARCH) -Pcross$(,)nocheck,-b)
, := ,
deb:
	@rm -rf $(BUILD)/deb/tree $(BUILD)/deb/*_*
	@mkdir -p $(BUILD)/deb/tree
	@tar -c --exclude-vcs --exclude=__pycache__ --exclude='*.so' --exclude='./*.egg-info' \
		--exclude=./$(BUILD) --exclude=./$(VENV) --exclude=./firmware_stub/bin . | tar -x -C $(BUILD)/deb/tree
	cd $(BUILD)/deb/tree && dpkg-buildpackage --no-sign $(DEB_FLAGS) || \
		{ echo "deb: where packages are missing: sudo apt build-dep ."; exit 1; }
	@rm -rf $(BUILD)/deb/tree
	@ls -l $(BUILD)/deb

# What debian/control wants for a build, and what packages of a machine need on it.
DEB_NEEDS = build-essential lintian $(shell sed -n '/^Build-Depends/,/^[A-Z].*[0-9]$$/ \
	s/^ \([a-z0-9.-]*\).*/\1/p' debian/control | sed 's/-compat//')
DEB_CROSS = $(if $(DEB_ARCH),crossbuild-essential-$(DEB_ARCH) libpython3-dev:$(DEB_ARCH))
DEB_BASE := python3-cffi-backend python3-click python3-msgpack python3-pyudev python3-rich systemd udev
DEB_SYSTEM = $(if $(DEB_ARCH),true,tools/fresh-debian --share $(BUILD)/deb/$* --packages "$(DEB_BASE)")
# Status 77: systemd does not boot here.
deb-%:
	@mkdir -p $(BUILD)/deb/$*
	@rm -f $(BUILD)/deb/$*/*
	@chmod 777 $(BUILD)/deb/$*
	tools/fresh-debian --share $(BUILD)/deb/$* --packages "$(DEB_NEEDS) $(DEB_CROSS)" $* \
		.ci/fresh deb $(DEB_ARCH)
	$(DEB_SYSTEM) --root $* .ci/fresh installed
	$(DEB_SYSTEM) --boot $* .ci/fresh booted || [ $$? = 77 ]

# The README's commands, its packages and a wheel, each where there is nothing else.
FRESH := 12 13
# What of pytest's tests runs there: FRESH_TESTS= is all of them.
FRESH_TESTS ?=
fresh: $(FRESH:%=fresh-%)
fresh-%:
	@mkdir -p $(BUILD)/fresh/$*
	@rm -f $(BUILD)/fresh/$*/*
	@chmod 777 $(BUILD)/fresh/$*
	tools/fresh-debian --share $(BUILD)/fresh/$* $* .ci/fresh tree $(FRESH_TESTS)
	tools/fresh-debian --share $(BUILD)/fresh/$* --packages python3-venv $* .ci/fresh wheel

deps:
	tools/deps

labs: setup
	@$(BIN)/python tools/labs >/dev/null

# Where it cannot be built, tests/kernel skip and say what to install; in CI they fail.
kernel:
	@tools/build-uml-kernel || true

# Side by side also without -j, and what each says in one piece.
SIDE_BY_SIDE = $(MAKE) --no-print-directory --output-sync=target \
	$(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

test: $(VENV)/.test kernel
	+@$(SIDE_BY_SIDE) programs
	+@$(SIDE_BY_SIDE) ctest fuzz-replay
	+@$(MAKE) --no-print-directory pytest

$(BUILD)/asan/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS_ASAN) -c -o $@ $<

# As setup.py has it, with our warnings.
$(BUILD)/preload/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -std=gnu11 -O2 -fPIC -U_FORTIFY_SOURCE -U_FILE_OFFSET_BITS -U_TIME_BITS \
		-fno-delete-null-pointer-checks $(WARNINGS) -Wno-nonnull-compare -c -o $@ $<

$(ASAN_STUB): $(ASAN_BROKEN) \
		$(filter-out $(BUILD)/asan/bridge/% $(LINUX:%.c=$(BUILD)/asan/%.o),$(ASAN_LIBRARY))
	@echo "  LINK    $@"
	$(Q)$(CC) $(SANITIZERS) -o $@ $^ -pthread

$(BUILD)/asan/tests/%: tests/%.c $(ASAN_LIBRARY) $(HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS_ASAN) -o $@ $< $(ASAN_LIBRARY) -pthread

# All that the tests run of C, for make -j.
programs: $(ASAN_STUB) $(ASAN_TESTS) $(FUZZ_TARGETS:%=$(BUILD)/replay/%)

ctest: $(ASAN_TESTS:%=%.run)

$(BUILD)/asan/tests/%.run: $(BUILD)/asan/tests/%
	@echo "== $<"; timeout 600 $<

# The C tests by the compilers for boards, and by qemu-user: without sanitizers, which do not run
# there. `make lint` compiles all for 32 bits, where it finds the compiler.
ARM := aarch64-linux-gnu arm-linux-gnueabihf
ARM_QEMU = qemu-$(if $(findstring aarch64,$@),aarch64,arm)
ARM_CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) $(INCLUDES)
ARM_TESTS := $(foreach machine,$(ARM),$(C_TESTS:tests/%.c=$(BUILD)/$(machine)/tests/%))

define ARM_RULES
$(BUILD)/$(1)/%.o: %.c $(HEADERS)
	@mkdir -p $$(@D)
	@echo "  CC      $$@"
	$(Q)$(1)-gcc $(ARM_CFLAGS) -c -o $$@ $$<

$(BUILD)/$(1)/tests/%: tests/%.c $(filter-out %/main.o,$(C_SOURCES:%.c=$(BUILD)/$(1)/%.o)) $(HEADERS)
	@mkdir -p $$(@D)
	@echo "  LINK    $$@"
	$(Q)$(1)-gcc $(ARM_CFLAGS) -o $$@ $$(filter %.c %.o,$$^) -pthread

# The stub that tests may break, and what runs it here.
$(BUILD)/$(1)/firmware-stub.elf: $(patsubst %.c,$(BUILD)/$(1)/%.o,$(BROKEN) \
		$(filter-out bridge/% %/main.c $(LINUX),$(C_SOURCES)))
	@echo "  LINK    $$@"
	$(Q)$(1)-gcc -o $$@ $$^ -pthread

$(BUILD)/$(1)/firmware-stub: $(BUILD)/$(1)/firmware-stub.elf
	@printf '#!/bin/sh\nexec %s -L %s %s "$$$$@"\n' $$(ARM_QEMU) /usr/$(1) $$(abspath $$<) >$$@
	@chmod +x $$@

$(BUILD)/$(1)/tests/%.run: $(BUILD)/$(1)/tests/% $(BUILD)/$(1)/tests/arm/qemu_user
	@echo "== $$<"; $(PYTHON) tests/arm/c_test.py $$(ARM_QEMU) /usr/$(1) $(BUILD)/$(1)/tests $$*
endef
$(foreach machine,$(ARM),$(eval $(call ARM_RULES,$(machine))))

# At last, service and clients of this machine's meet a stub of a board's.
test-arm: $(VENV)/.test
	+@$(SIDE_BY_SIDE) $(ARM_TESTS) $(ARM:%=$(BUILD)/%/firmware-stub)
	+@$(SIDE_BY_SIDE) $(ARM_TESTS:%=%.run)
	@for machine in $(ARM); do echo "== pytest, with the stub of $$machine"; \
		FIRMWARE_STUB=$(CURDIR)/$(BUILD)/$$machine/firmware-stub \
		$(BIN)/python -m pytest -q -n $$((2 * $$(nproc))) tests/e2e || exit 1; done

# Service, tools and stub as programs of ARM: from a wheel, where there is no compiler. BOARD_TESTS
# are tests of it beside. PyPI has no cffi and no msgpack for 32 bits.
BOARD_TESTS ?=
BOARD_NEEDS_armhf := python3-cffi python3-msgpack
test-board: test-board-arm64 test-board-armhf
test-board-%: $(BUILD)/board
	tools/fresh-debian --machine $* --share $< \
		--packages "python3 python3-pip python3-venv $(BOARD_NEEDS_$*)" 13 .ci/fresh board $(BOARD_TESTS)

.PHONY: $(BUILD)/board
$(BUILD)/board: $(VENV)/.wheels
	@rm -rf $@
	$(BIN)/python tools/wheels --to $@ aarch64 armv7l

# Fuzz targets: the same sources, with a kernel in memory (tests/fuzz/names.h). With clang
# they are libFuzzer's; with any compiler replay.c runs the files of their corpus.
# Without links that open devices: what comes over these, `requests` has too.
FUZZED := $(CORE) $(REMOTE) $(HOST) $(filter-out %/gpiochip_link.c %/rpmsg_link.c,$(wildcard \
	bridge/shim/pump/*.c bridge/shim/export/*.c bridge/shim/usb/*.c bridge/shim/cdev/*.c)) \
	firmware_stub/ports/host/stub_loop.c firmware_stub/ports/host/rpmsg_backend.c
FUZZ_NAMES := -include tests/fuzz/names.h
# The newest: Debian's clang, or one with its version in its name.
CLANG ?= $(firstword $(notdir $(wildcard /usr/bin/clang) $(shell ls -v -r /usr/bin/clang-[0-9]* 2>/dev/null)))
FUZZ_CFLAGS := -std=gnu11 -O2 -g -Wno-pragmas $(INCLUDES) -fsanitize=address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_COVERAGE := -fsanitize-coverage=inline-8bit-counters,pc-table
FUZZ_SECONDS ?= 600
FUZZ_RUN ?= $(BUILD)/fuzz/run

$(BUILD)/replay/tests/fuzz/%.o: tests/fuzz/%.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS_ASAN) -c -o $@ $<

$(BUILD)/replay/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS_ASAN) $(FUZZ_NAMES) -c -o $@ $<

$(BUILD)/replay/%: $(BUILD)/replay/tests/fuzz/target_%.o $(BUILD)/replay/tests/fuzz/kernel.o \
		$(BUILD)/replay/tests/fuzz/replay.o $(BUILD)/replay/fuzzed.a
	@echo "  LINK    $@"
	$(Q)$(CC) $(SANITIZERS) -o $@ $^ -pthread

# A library, so that a target has what it uses: libFuzzer looks at all that is linked.
$(BUILD)/replay/fuzzed.a $(BUILD)/fuzz/fuzzed.a: $(BUILD)/%/fuzzed.a:
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^
$(BUILD)/replay/fuzzed.a: $(FUZZED:%.c=$(BUILD)/replay/%.o)
$(BUILD)/fuzz/fuzzed.a: $(FUZZED:%.c=$(BUILD)/fuzz/%.o)

.SECONDARY:

fuzz-replay: $(FUZZ_TARGETS:%=$(BUILD)/replay/%.run)

$(FUZZ_TARGETS:%=$(BUILD)/replay/%.run): $(BUILD)/replay/%.run: $(BUILD)/replay/%
	@echo "== fuzz corpus: $*"; timeout 600 $< tests/fuzz/corpus/$* >$<.log 2>&1 || \
		{ tail -50 $<.log; exit 1; }

# Coverage is that of the sources, not of what drives them.
$(BUILD)/fuzz/tests/fuzz/%.o: tests/fuzz/%.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CLANG   $@"
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -c -o $@ $<

$(BUILD)/fuzz/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CLANG   $@"
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(FUZZ_COVERAGE) $(FUZZ_NAMES) -c -o $@ $<

$(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/target_%.o $(BUILD)/fuzz/tests/fuzz/kernel.o \
		$(BUILD)/fuzz/fuzzed.a
	@echo "  LINK    $@"
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -pthread

fuzz-build: $(if $(CLANG),$(FUZZ_TARGETS:%=$(BUILD)/fuzz/%))

fuzz: setup fuzz-build
	@$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --run $(FUZZ_RUN) $(FUZZ_ARGS)

# ThreadSanitizer: the pump's thread against its callers, clients against the rings. Without
# test_notifier, which counts the threads of the process; TSan has one of its own.
TSAN_TESTS := $(filter-out %/test_notifier.c,$(filter tests/shim/% tests/link/% tests/export/% \
	tests/firmware_stub/host/%,$(C_TESTS)))
# Fences are not known to it: what only they order, it may take for a race.
TSAN_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-tsan -fsanitize=thread -fPIC \
	-fno-omit-frame-pointer $(INCLUDES)
TSAN_OBJECTS := $(C_SOURCES:%.c=$(BUILD)/tsan/%.o)

$(BUILD)/tsan/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(TSAN_CFLAGS) -c -o $@ $<

$(BUILD)/tsan/tests/%: tests/%.c $(filter-out %/main.o,$(TSAN_OBJECTS)) $(HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(TSAN_CFLAGS) -o $@ $< $(filter-out %/main.o,$(TSAN_OBJECTS)) -pthread

$(BUILD)/tsan/firmware-stub: $(filter-out $(BUILD)/tsan/bridge/%,$(TSAN_OBJECTS))
	@echo "  LINK    $@"
	$(Q)$(CC) -fsanitize=thread -o $@ $^ -pthread

tsan: $(TSAN_TESTS:%.c=$(BUILD)/tsan/%.run) $(BUILD)/tsan/soak.run

$(BUILD)/tsan/tests/%.run: $(BUILD)/tsan/tests/%
	@echo "== $<"; TSAN_OPTIONS=suppressions=tests/tsan.supp timeout 300 $< >$<.log 2>&1 || \
		{ tail -60 $<.log; exit 1; }; tail -1 $<.log

TSAN_SHIM := $(BUILD)/tsan/_shim.abi3.so

$(TSAN_SHIM): $(patsubst %.c,$(BUILD)/tsan/%.o,$(filter bridge/shim/% firmware_stub/host/% \
		firmware_stub/core/% firmware_stub/ports/linux/%,$(C_SOURCES))) \
		bridge/shim/_shim.pyi bridge/shim/declarations.py bridge/shim/build.py $(VENV)/.stamp
	@$(BIN)/python -c "from bridge.shim.build import ffibuilder as shim; \
		shim.emit_c_code('$(@:.so=.c)')"
	@echo "  LINK    $@"
	$(Q)$(CC) $(TSAN_CFLAGS) -w -shared -o $@ $(@:.so=.c) $(filter %.o,$^) -pthread \
		-I$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')

# Service, clients and stub together: in a package whose shim is the sanitized one, and all else
# links to the tree's.
$(BUILD)/tsan/soak.run: $(TSAN_SHIM) $(BUILD)/tsan/firmware-stub
	@rm -rf $(BUILD)/tsan/package && mkdir -p $(BUILD)/tsan/package
	@cp -as $(CURDIR)/bridge $(CURDIR)/firmware_stub $(BUILD)/tsan/package
	@ln -sf $(CURDIR)/$(TSAN_SHIM) $(BUILD)/tsan/package/bridge/shim
	cd $(BUILD)/tsan/package && PYTHONPATH=.:$(CURDIR) FIRMWARE_STUB=$(CURDIR)/$(BUILD)/tsan/firmware-stub \
		LD_PRELOAD=$$($(CC) -print-file-name=libtsan.so) $(CURDIR)/$(BIN)/python \
		$(CURDIR)/tests/soak/soak.py --seconds 30 --tsan $(CURDIR)/$(BUILD)/tsan/soak

# SECONDS is bash's and not make's own: given on the command line it is here as is.
soak: setup
	PYTHONPATH=. $(BIN)/python tests/soak/soak.py --seconds $(if $(filter command line,$(origin SECONDS)),$(SECONDS),60)

# How much the tests run. It is no gate: what a test finds, `make test` says. The figure of C is
# that of the C tests and of the stub; the shim inside of Python processes is not counted.
GCOV_OBJECTS := $(C_SOURCES:%.c=$(BUILD)/gcov/%.o)
GCOV_STUB := $(BUILD)/gcov/firmware-stub
GCOV_TESTS := $(C_TESTS:%.c=$(BUILD)/gcov/%)

$(BUILD)/gcov/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -std=gnu11 -O0 -g --coverage -fprofile-update=atomic $(INCLUDES) -c -o $@ $<

$(GCOV_STUB): $(BROKEN:%.c=$(BUILD)/gcov/%.o) $(filter-out $(BUILD)/gcov/bridge/% %/main.o \
		$(LINUX:%.c=$(BUILD)/gcov/%.o),$(GCOV_OBJECTS))
	@echo "  LINK    $@"
	$(Q)$(CC) --coverage -o $@ $^ -pthread

$(BUILD)/gcov/tests/%: tests/%.c $(filter-out %/main.o,$(GCOV_OBJECTS)) $(HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) -std=gnu11 -O0 -g $(INCLUDES) -o $@ $< $(filter-out %/main.o,$(GCOV_OBJECTS)) \
		--coverage -pthread

coverage: $(VENV)/.coverage $(GCOV_TESTS) $(GCOV_STUB)
	@rm -rf $(BUILD)/coverage
	@mkdir -p $(BUILD)/coverage
	@find $(BUILD)/gcov -name '*.gcda' -delete
	@printf '%s\n' $(GCOV_TESTS) | xargs -P $$(nproc) -I @ sh -c \
		'timeout 120 @ >>$(BUILD)/coverage/log 2>&1 || echo "@ failed: $(BUILD)/coverage/log"'
	-FIRMWARE_STUB=$(CURDIR)/$(GCOV_STUB) $(BIN)/coverage run -m pytest -q \
		$(or $(PYTEST_ARGS),--ignore=tests/kernel)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet --directory $(BUILD)/coverage/html
	@$(BIN)/gcovr --root . --filter bridge/ --filter firmware_stub/ --gcov-ignore-errors all \
		--json-summary $(BUILD)/coverage/c.json --txt $(BUILD)/coverage/c.txt $(BUILD)/gcov
	@echo "lines run, of Python: $$($(BIN)/coverage report --format=total) %," \
		"of C: $$(sed -n 's/^TOTAL.* \([0-9]*\)%.*/\1/p' $(BUILD)/coverage/c.txt) %;" \
		"$(BUILD)/coverage/html, $(BUILD)/coverage/c.txt"

# Both analyzers; tests/analyze.py says why a finding is none.
analyze:
	$(PYTHON) tests/analyze.py "$(INCLUDES)" "$(CLANG)" $(C_SOURCES) $(PRELOAD)

# The stub that the Python tests talk to is their own: sanitized, and it can break rules. They
# run in twice as many processes as there are processors, since most wait most of the time.
# They start Python a thousand times: where its bytecode is not kept, a third of all is compiling.
pytest: $(VENV)/.test $(ASAN_STUB)
	PYTHONDONTWRITEBYTECODE= FIRMWARE_STUB=$(CURDIR)/$(ASAN_STUB) $(BIN)/python -m pytest \
		-n $$((2 * $$(nproc))) $(PYTEST_ARGS)

# Beside make test, since a kernel for it is minutes more the first time.
qemu: $(VENV)/.test $(ASAN_STUB)
	@tools/build-uml-kernel --x86-64
	FIRMWARE_STUB=$(CURDIR)/$(ASAN_STUB) $(BIN)/python -m pytest -m slow tests/kernel/test_qemu.py

# What an MCU's compiler sees: C99, freestanding, all warnings.
FREESTANDING := $(patsubst firmware_stub/%.c,$(BUILD)/freestanding/%.o,$(CORE) $(REMOTE))
$(BUILD)/freestanding/%.o: firmware_stub/%.c $(HEADERS)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS_CORE) -c -o $@ $<

LINT_32 := $(if $(shell command -v arm-linux-gnueabihf-gcc),$(C_SOURCES:%.c=$(BUILD)/arm-linux-gnueabihf/%.o))
lint: $(VENV)/.lint $(LINT_32) $(FREESTANDING) $(PRELOAD:%.c=$(BUILD)/preload/%.o) $(ASAN_OBJECTS) $(ASAN_BROKEN) $(BUILD)/mcu/rings/mcu-backend
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python tools/check-layers
	@echo clang-tidy; command -v clang-tidy >/dev/null || { echo "not installed: make deps"; exit 0; }; \
		printf '%s\n' $(C_SOURCES) $(BROKEN) | xargs -P $$(nproc) -n 4 sh -c \
		'clang-tidy --quiet "$$@" -- -std=gnu11 $(INCLUDES) 2>&1 | { ! grep -v " generated"; }' sh

# The pages lie in the site as in the tree, so that a link is right on both.
SITE := README.md CHANGELOG.md CONTRIBUTING.md LICENSE SECURITY.md $(wildcard docs/*.md docs/*/*.md examples/*.* examples/*/README.md) \
	firmware_stub/host/virtio/README.md tests/fuzz/README.md
docs: $(VENV)/.docs
	@rm -rf $(BUILD)/docs
	@mkdir -p $(BUILD)/docs
	@cp --parents $(SITE) $(BUILD)/docs
	$(BIN)/mkdocs build --quiet --strict

# The firmware of the Cortex-M port, and what the core needs there.
MCU := firmware_stub/ports/lm3s6965
MCU_CC := arm-none-eabi-gcc
LIBC := firmware_stub/ports/libc
MCU_SOURCES := $(CORE) $(wildcard $(MCU)/*.c) $(LIBC)/string.c
MCU_OBJECTS := $(MCU_SOURCES:%.c=$(BUILD)/mcu/%.o)
MCU_CORE := $(CORE:%.c=$(BUILD)/mcu/%.o)
BARE_FLAGS := -Os -g -ffreestanding -fno-common -ffunction-sections \
	-fdata-sections -fno-tree-loop-distribute-patterns $(WARNINGS) \
	-Ifirmware_stub/core -Ifirmware_stub/remote -isystem $(LIBC)
MCU_FLAGS := -mcpu=cortex-m3 -mthumb $(BARE_FLAGS) -I$(MCU)
$(MCU_CORE): MCU_STD := -std=c99 -pedantic

$(BUILD)/mcu/%.o: %.c $(HEADERS) $(wildcard $(MCU)/*.h $(LIBC)/*.h)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(MCU_CC) $(or $(MCU_STD),-std=gnu11) $(MCU_FLAGS) -c -o $@ $<

$(BUILD)/mcu/firmware.elf: $(MCU_OBJECTS) $(MCU)/lm3s6965.ld
	$(MCU_CC) -mcpu=cortex-m3 -mthumb -nostdlib -static -Wl,--gc-sections,--fatal-warnings \
		-T $(MCU)/lm3s6965.ld -o $@ $(MCU_OBJECTS) -lgcc

# The firmware on rings in Linux's memory, and what starts QEMU for it. By the machine; that
# of remoteproc runs on a sifive_u as well, behind a boot ROM.
RINGS := firmware_stub/ports/rings
# Its resource table, which is made of what a kit has.
TABLES := firmware_stub/kits/resource_table
RISCV_CC := riscv64-unknown-elf-gcc
RINGS_COMMON := $(CORE) $(REMOTE) $(LIBC)/string.c $(RINGS)/trace.c $(RINGS)/sleep.c
RINGS_HEADERS := $(HEADERS) $(wildcard firmware_stub/ports/*/*.h $(TABLES)/*.h)
RINGS_LINK := -nostdlib -static -Wl,--gc-sections,--fatal-warnings,--no-warn-rwx-segments
RISCV_FLAGS := -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -std=gnu11 $(BARE_FLAGS) \
	-I$(RINGS) -I$(TABLES) -Ifirmware_stub/ports/sifive_u
RINGS_BUILD := $(BUILD)/mcu/rings
RINGS_RISCV := $(addprefix $(RINGS_BUILD)/,sifive_u.elf remoteproc.elf virtio_gpio.elf boot.elf)
RINGS_ARM := $(addprefix $(RINGS_BUILD)/,mps2_an385.elf mps3_an536.elf debug/mps2_an385.elf)
RINGS_ELF := $(RINGS_ARM) $(if $(shell command -v $(RISCV_CC)),$(RINGS_RISCV))

$(RINGS_BUILD)/sifive_u.elf: $(RINGS)/main.c $(RINGS)/by_mailbox.c firmware_stub/ports/sifive_u/sifive_u.ld
$(RINGS_BUILD)/remoteproc.elf: $(RINGS)/main.c $(RINGS)/by_table.c firmware_stub/ports/sifive_u/remoteproc.ld
$(RINGS_BUILD)/virtio_gpio.elf: $(RINGS)/virtio_gpio.c $(RINGS)/by_table.c firmware_stub/ports/sifive_u/remoteproc.ld
$(RINGS_BUILD)/virtio_gpio.elf: RISCV_FLAGS += -DVDEV_VIRTIO_GPIO
$(filter-out %/boot.elf,$(RINGS_RISCV)): firmware_stub/ports/sifive_u/start.S \
		firmware_stub/ports/sifive_u/machine.c firmware_stub/ports/sifive_u/gpio.c \
		$(RINGS_COMMON) $(RINGS_HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(RISCV_CC) $(RISCV_FLAGS) $(RINGS_LINK) -T $(filter %.ld,$^) -o $@ $(filter %.c %.S,$^) -lgcc

$(RINGS_BUILD)/boot.elf: firmware_stub/ports/sifive_u/boot.S firmware_stub/ports/sifive_u/sifive_u.ld
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(RISCV_CC) $(RISCV_FLAGS) $(RINGS_LINK) -T $(filter %.ld,$^) -o $@ $<

RINGS_M3 := $(filter %/mps2_an385.elf,$(RINGS_ARM))
$(RINGS_M3): ARM := -mcpu=cortex-m3 -mthumb
$(RINGS_M3): firmware_stub/ports/mps2_an385/machine.c firmware_stub/ports/mps2_an385/mps2_an385.ld
$(RINGS_BUILD)/mps3_an536.elf: ARM := -mcpu=cortex-r52 -marm -mfloat-abi=soft
$(RINGS_BUILD)/mps3_an536.elf: firmware_stub/ports/mps3_an536/start.S \
		firmware_stub/ports/mps3_an536/machine.c firmware_stub/ports/mps3_an536/mps3_an536.ld
$(RINGS_BUILD)/debug/%.elf: USER_CONFIG := -DRPMSG_GPIO_USER_CONFIG='"debug_config.h"'
$(RINGS_ARM): $(RINGS)/main.c $(RINGS)/by_mailbox.c $(RINGS)/ram_pins.c $(RINGS)/self_test.c \
		$(RINGS_COMMON) $(RINGS_HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(MCU_CC) $(ARM) $(USER_CONFIG) -std=gnu11 $(BARE_FLAGS) -I$(RINGS) -I$(dir $(filter %.ld,$^)) \
		$(RINGS_LINK) -T $(filter %.ld,$^) -o $@ $(filter %.c %.S,$^) -lgcc

EMULATED := $(wildcard firmware_stub/emulated/*.c)
$(RINGS_BUILD)/mcu-backend: $(EMULATED) $(HOST) firmware_stub/ports/host/stub_loop.c $(RINGS_HEADERS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) -std=gnu11 -O2 -g $(WARNINGS) $(INCLUDES) -I$(RINGS) -o $@ $(filter %.c,$^) -pthread

# The core and its serial framing for 32 lines, in each configuration of
# firmware_stub/ports/lm3s6965/footprint: bytes of flash and of RAM, and those of the core alone.
FOOTPRINTS := baseline no_events no_names all
$(BUILD)/footprint/%.size: $(MCU)/footprint/%.h $(MCU)/footprint/footprint.c $(CORE) $(HEADERS)
	@mkdir -p $(BUILD)/footprint/$*
	@echo "  SIZE    $@"
	$(Q)for source in $(CORE) $(MCU)/footprint/footprint.c; do \
		$(MCU_CC) -std=c99 -pedantic $(MCU_FLAGS) -DRPMSG_GPIO_USER_CONFIG='"$(abspath $<)"' \
			-c -o $(BUILD)/footprint/$*/$$(basename $$source .c).o $$source || exit 1; done
	$(Q)$(MCU_CC) -std=c99 -pedantic $(MCU_FLAGS) -DRPMSG_GPIO_USER_CONFIG='"$(abspath $<)"' \
		-DFOOTPRINT_WITHOUT_SERIAL -c -o $(BUILD)/footprint/$*/ram.alone $(MCU)/footprint/footprint.c
	$(Q)arm-none-eabi-size $(BUILD)/footprint/$*/*.o $(BUILD)/footprint/$*/ram.alone | awk 'NR > 1 { \
		if (/ram.alone/) less = $$2 + $$3; else { flash += $$1 + $$2; ram += $$2 + $$3; \
		if (!/_serial/) core += $$1 + $$2 } } END { print flash, ram, core, less }' >$@

# The RPMsg remote: its flash, and the RAM of one, which is what remote.c has of one.
REMOTE_RPMSG := $(filter-out %/virtio_gpio_remote.c,$(REMOTE))
$(BUILD)/footprint/remote.size: $(REMOTE_RPMSG) $(MCU)/footprint/remote.c $(HEADERS)
	@mkdir -p $(BUILD)/footprint/remote
	@echo "  SIZE    $@"
	$(Q)for source in $(REMOTE_RPMSG) $(MCU)/footprint/remote.c; do \
		$(MCU_CC) -std=c99 -pedantic $(MCU_FLAGS) \
			-c -o $(BUILD)/footprint/remote/$$(basename $$source .c).o $$source || exit 1; done
	$(Q)arm-none-eabi-size $(BUILD)/footprint/remote/*.o | \
		awk 'NR > 1 { flash += $$1 + $$2; ram += $$2 + $$3 } END { print flash, ram }' >$@

# What does not fit fails the build: the core alone 6 KB and 2 KB, with the serial framing 10 KB.
mcu: $(BUILD)/mcu/firmware.elf $(RINGS_ELF) $(RINGS_BUILD)/mcu-backend $(FOOTPRINTS:%=$(BUILD)/footprint/%.size) $(BUILD)/footprint/remote.size
	arm-none-eabi-size $< $(RINGS_ARM)
	@command -v $(RISCV_CC) >/dev/null || \
		echo "without the RISC-V firmware: install gcc-riscv64-unknown-elf (make deps)"
	@awk 'BEGIN { print "core and serial framing, 32 lines, bytes:   flash    RAM   the core alone" } \
		FILENAME ~ /baseline/ { name = "no extensions" } \
		FILENAME ~ /no_events/ { name = "all but CREDITS and TIMESTAMP" } \
		FILENAME ~ /no_names/ { name = "all but NAMES, 32 edges on their way" } \
		FILENAME ~ /all.size/ { name = "all extensions, 32 edges on their way" } \
		{ printf "  %-40s %6d %6d   %6d %6d\n", name, $$1, $$2, $$3, $$4; \
		bad += $$1 > 10240 || $$3 > 6144 || $$4 > 2048 } \
		END { if (bad) print "at most 10240; the core alone 6144 and 2048"; exit bad }' \
		$(FOOTPRINTS:%=$(BUILD)/footprint/%.size)
	@awk '{ printf "RPMsg remote, bytes:                       %6d %6d\n", $$1, $$2; bad = $$1 > 1024 || $$2 > 128 } \
		END { if (bad) print "at most 1024 and 128"; exit bad }' $(BUILD)/footprint/remote.size

footprint: $(FREESTANDING)
	size $^


# What --help says as manual pages, and what bash and zsh complete with.
SHAREDIR ?= /usr/share
install-help: setup
	$(BIN)/python tools/man-pages $(BUILD)/man
	install -D -m 644 -t $(DESTDIR)$(SHAREDIR)/man/man1 $(BUILD)/man/*.1
	$(BIN)/gpio-bridge completion bash >$(BUILD)/man/completion.bash
	install -D -m 644 $(BUILD)/man/completion.bash \
		$(DESTDIR)$(SHAREDIR)/bash-completion/completions/gpio-bridge
	$(BIN)/gpio-bridge completion zsh >$(BUILD)/man/completion.zsh
	install -D -m 644 $(BUILD)/man/completion.zsh \
		$(DESTDIR)$(SHAREDIR)/zsh/vendor-completions/_gpio-bridge

# What the system needs around the program; pip or a package installs that itself.
LIBDIR ?= /usr/lib
install-system:
	@grep -v '^#' udev/places | while read -r kind file place; do \
		case $$place in lib/*) place=$(LIBDIR)/$${place#lib/};; *) place=$(LIBDIR)/../$$place;; esac; \
		echo "  INSTALL $(DESTDIR)$$place"; install -D -m 644 "udev/$$file" "$(DESTDIR)$$place" || exit 1; done

clean:
	rm -rf $(BUILD) $(VENV) *.egg-info firmware_stub/bin bridge/plug/gpio-bridge-plug bridge/shim/_shim.c bridge/shim/_shim*.so \
		bridge/bench/native/_native.c bridge/bench/native/_native*.so
