# `make demo` runs the main job, `make test` the tests. Both make what they need: .venv, packages, system libraries.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
export CARGO_TERM_COLOR := never

.DEFAULT_GOAL := help

help:  ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/ready  ## Pictures and captions: encode, fit, search; ends with numbers and a page to look at
	$(BIN)/canonsim demo

test: $(VENV)/ready  ## All tests, of Rust and of Python
	cargo test --release --locked -p canonsim-core
	$(BIN)/python -m pytest

lint: $(VENV)/ready  ## Formatting, ruff, mypy, clippy, and the stub against the built module
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest canonsim._native

bench: $(VENV)/ready  ## Measure speed beside numpy, torch, cca-zoo and scikit-learn (10 minutes)
	$(BIN)/uv pip install --quiet --python $(BIN)/python cca-zoo
	$(BIN)/python benches/speed.py --plot docs/images/speed.png

quality: $(VENV)/ready  ## Measure how well pairs are found beside rivals: on the clip-arts (3 minutes), or DATA=folder of features
	$(BIN)/python benches/quality.py $(DATA:%=--data %)

clean:  ## Remove everything that was made
	rm -rf $(VENV) target build dist demo-report

# uv installs the large packages in a tenth of pip's time.
$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The extension is built by the installation, in release mode; the Rust tests use what it compiled.
$(VENV)/ready: $(VENV)/bin/uv pyproject.toml $(RUST) scripts/system_libraries.sh
	bash scripts/system_libraries.sh
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]'
	touch $@

.PHONY: help demo test lint bench quality clean
