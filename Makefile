# `make demo` and `make test` need Python 3.11+ and make; they set everything else up in .venv.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= digits
export FULL

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint wheel benchmarks clean

help:
	@echo "make setup             create .venv (other targets do so when needed)"
	@echo "make demo              PCA and Autoencoder on handwritten digits, then t-SNE"
	@echo "make demo DATA=mnist   the same on MNIST"
	@echo "make test              the whole test suite, with linter and type checker"
	@echo "make lint              linter and type checker alone"
	@echo "make wheel             build the wheel and try it in a fresh environment"
	@echo "make benchmarks        a quick run of every benchmark, into build/benchmarks"
	@echo "make benchmarks FULL=1 the figures of docs/results.md (many hours)"

# The stamp is renewed only when what it depends on changes: a second run sets nothing up.
.venv/.installed: pyproject.toml constraints.txt
	@echo "Setting up .venv: a few minutes, the first time only."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[demo,benchmarks,test]"
	@touch $@

setup: .venv/.installed

demo: .venv/.installed
	@$(BIN)/python -m benchmarks.demo --data $(DATA)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses 2 --dist worksteal

wheel:
	@PYTHON="$(PYTHON)" .ci/wheel

benchmarks: .venv/.installed
	@$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
