# A list of tasks. Each sets up what it needs in .venv; the build itself is csrc/CMakeLists.txt.
PYTHON ?= python3
PREFIX ?= /usr/local
# What the tests install: test-core where some of it has no wheels, as for a free-threaded Python.
TEST ?= test
BIN := .venv/bin
CMAKE := $(or $(shell command -v cmake 2>/dev/null),$(BIN)/cmake)
SOURCES := pyproject.toml tools/cffi_source.py csrc/CMakeLists.txt $(wildcard csrc/*/*)
C_FILES := $(wildcard csrc/*/*.c csrc/*/*.h tests/csrc/programs/*.c tests/csrc/programs/*.h tests/fuzz/*.c tests/fuzz/*.h)

.PHONY: demo test test-slow test-integrations fuzz asan tsan mutate lint fmt bench latency golden install clean

demo: .venv/.installed  ## look into the model that ships with the package
	$(BIN)/pyembed info demo
	$(BIN)/pyembed embed demo --tokens file string

test: .venv/.installed  ## run the test suite
	$(BIN)/pytest

test-slow: .venv/.installed  ## compare all of the large files with gguf-py, which takes minutes
	$(BIN)/pytest -m slow

test-integrations: .venv/.installed  ## install real engines and run beside them: make test-integrations ENGINES=engine-wheels
	$(BIN)/pip install --quiet -e '.[test,$(or $(ENGINES),engines)]'
	$(BIN)/pytest -m integration

fuzz: .venv/.installed  ## fuzz the readers and decoders: make fuzz SECONDS=600 ARGS="gguf npy"
	$(BIN)/python -m tools.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

asan: .venv/.installed  ## run the tests under AddressSanitizer and UBSan: make asan ARGS="-k gather"
	$(BIN)/python -m tools.sanitize asan $(ARGS)

tsan: .venv/.installed  ## run threads that do everything at once under ThreadSanitizer
	$(BIN)/python -m tools.sanitize tsan

mutate: .venv/.installed  ## change bytes of real files and open what is left
	$(BIN)/python -m tools.mutate $(ARGS)

lint: .venv/.linters  ## check style, types and the compiler's warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(CMAKE) -S csrc -B build/dev -DPYEMBED_DEV=ON
	$(CMAKE) --build build/dev

fmt: .venv/.linters  ## format all sources
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/clang-format -i $(C_FILES)

bench: .venv/.installed  ## measure speed and memory: make bench ARGS="--quick"
	$(BIN)/python -m tools.bench $(ARGS)

latency: .venv/.installed  ## measure single gathers from 8 threads under load: make latency SECONDS=60
	$(BIN)/python -m tools.bench.latency --seconds $(or $(SECONDS),60)

golden: .venv/.installed  ## write the golden files anew, from the reference decoders
	$(BIN)/python tools/make_golden.py

install: | $(CMAKE)  ## install the C library: make install PREFIX=/usr/local
	$(CMAKE) -S csrc -B build/install -DCMAKE_INSTALL_PREFIX=$(abspath $(PREFIX))
	$(CMAKE) --build build/install
	$(CMAKE) --install build/install

clean:  ## remove everything that was made here, .venv too
	rm -rf build dist .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/cmake: | $(BIN)/python
	$(BIN)/pip install --quiet cmake

.venv/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/pip install --quiet -e '.[$(TEST)]'
	touch $@

.venv/.linters: pyproject.toml | .venv/.installed $(CMAKE)
	$(BIN)/pip install --quiet -e '.[dev,test,tools]'
	touch $@
