# SPDX-License-Identifier: BSD-3-Clause
#
# make demo    the first ten minutes, all set-up included
# make test    everything that is tested (C under ASan and UBSan, then pytest)
# make lint    ruff, mypy --strict, C warnings as errors
# make bench   the benchmark's table
# make setup   the virtual environment in .venv, with the shim and the stub built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD := build

CORE := $(wildcard firmware_stub/core/*.c)
HOST := $(wildcard firmware_stub/ports/host/*.c)
VIRTIO := $(wildcard bridge/shim/virtio/*.c)
SHIM := $(wildcard bridge/shim/*/*.c)
C_SOURCES := $(CORE) $(HOST) $(SHIM)
HEADERS := $(wildcard firmware_stub/*/*.h firmware_stub/*/*/*.h bridge/shim/*/*.h tests/*.h)
C_TESTS := $(sort $(shell find tests -name 'test_*.c'))

INCLUDES := -Ifirmware_stub/core -Ifirmware_stub/ports/host -Ibridge/shim -Itests
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wconversion -Wno-sign-conversion -Werror
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_ASAN := -std=gnu11 -O1 -g $(WARNINGS) $(SANITIZERS) $(INCLUDES)
CFLAGS_CORE := -std=c99 -pedantic -ffreestanding -Os $(WARNINGS) -Ifirmware_stub/core

ASAN_OBJECTS := $(C_SOURCES:%.c=$(BUILD)/asan/%.o)
ASAN_LIBRARY := $(filter-out %/main.o,$(ASAN_OBJECTS))
ASAN_STUB := $(BUILD)/asan/firmware-stub
ASAN_TESTS := $(C_TESTS:%.c=$(BUILD)/asan/%)

.PHONY: all setup demo test ctest pytest lint bench footprint clean

all: setup

# The stamp depends on what a build reads; Python files are used in place.
$(VENV)/.stamp: pyproject.toml setup.py bridge/shim/build.py $(wildcard bridge/shim/decl/*.h) $(C_SOURCES) $(HEADERS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(VENV)/.stamp

demo: setup
	$(BIN)/gpio-bridge demo

bench: setup
	$(BIN)/gpio-bridge bench

test: setup ctest pytest

$(BUILD)/asan/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ASAN) -c -o $@ $<

$(ASAN_STUB): $(filter-out $(BUILD)/asan/bridge/shim/pump/% $(BUILD)/asan/bridge/shim/bench/%,$(ASAN_OBJECTS))
	$(CC) $(SANITIZERS) -o $@ $^ -pthread

$(BUILD)/asan/tests/%: tests/%.c $(ASAN_LIBRARY) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ASAN) -o $@ $< $(ASAN_LIBRARY) -pthread

ctest: $(ASAN_TESTS)
	@set -e; for test in $(ASAN_TESTS); do echo "== $$test"; timeout 120 $$test; done

# The stub that the Python tests talk to is the sanitized one.
pytest: setup $(ASAN_STUB)
	FIRMWARE_STUB=$(CURDIR)/$(ASAN_STUB) $(BIN)/python -m pytest $(PYTEST_ARGS)

# What an MCU's compiler sees: C99, freestanding, all warnings.
$(BUILD)/core/%.o: firmware_stub/core/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_CORE) -c -o $@ $<

lint: setup $(CORE:firmware_stub/core/%.c=$(BUILD)/core/%.o) $(ASAN_OBJECTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

footprint: $(CORE:firmware_stub/core/%.c=$(BUILD)/core/%.o)
	size $^


clean:
	rm -rf $(BUILD) $(VENV) *.egg-info firmware_stub/bin bridge/shim/_shim.c bridge/shim/_shim*.so
