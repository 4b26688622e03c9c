# `make demo` and `make test` need Python 3.11+ and make; they set everything else up in .venv.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= digits
export FULL

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs wheel benchmarks clean

help:
	@echo "make setup             create .venv (other targets do so when needed)"
	@echo "make demo              PCA and Autoencoder on handwritten digits, then t-SNE"
	@echo "make demo DATA=mnist   the same on MNIST"
	@echo "make test              the whole test suite, with linter and type checker"
	@echo "make lint              linter and type checker alone"
	@echo "make docs              the documentation as a web site, into build/docs"
	@echo "make wheel             build the wheel and try it in a fresh environment"
	@echo "make benchmarks        a quick run of every benchmark, into build/benchmarks"
	@echo "make benchmarks FULL=1 the figures of docs/results (many hours)"

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

# Only the documentation needs Sphinx.
.venv/.installed-docs: .venv/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[docs]"
	@touch $@

# Warnings are errors. On one thread each, as the examples are small.
docs: .venv/.installed-docs
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -b html docs build/docs
	@echo "Open build/docs/index.html in a browser."

wheel:
	@PYTHON="$(PYTHON)" .ci/wheel

benchmarks: .venv/.installed
	@$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist docs/api/generated docs/auto_examples *.egg-info .pytest_cache .mypy_cache .ruff_cache
