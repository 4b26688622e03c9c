# `make demo` and `make test` need Python 3.11+ and make; they set everything else up in .venv.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= digits

.DEFAULT_GOAL := help
.PHONY: help demo test lint benchmarks clean

help:
	@echo "make demo              PCA and Autoencoder on handwritten digits, then t-SNE"
	@echo "make demo DATA=mnist   the same on MNIST"
	@echo "make test              the whole test suite, with linter and type checker"
	@echo "make benchmarks        the figures of docs/results.md (long)"

# The stamp is renewed only when what it depends on changes: a second run sets nothing up.
.venv/.installed: pyproject.toml constraints.txt
	@echo "Setting up .venv: a few minutes, the first time only."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[demo,benchmarks,test]"
	@touch $@

demo: .venv/.installed
	@$(BIN)/python -m benchmarks.demo --data $(DATA)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses 2

benchmarks: .venv/.installed
	$(BIN)/python -m benchmarks.pca --jobs 2
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.pca --sets iris --seeds 0 --mnist --name default_fit
	$(BIN)/python -m benchmarks.mnist30
	$(BIN)/python -m benchmarks.sparse
	$(BIN)/python -m benchmarks.denoising
	$(BIN)/python -m benchmarks.contractive
	$(BIN)/python -m benchmarks.strength
	$(BIN)/python -m benchmarks.vae
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.depth --only ways
	$(BIN)/python -m benchmarks.depth --only layers --name depth_layers
	$(BIN)/python -m benchmarks.labels
	$(BIN)/python -m benchmarks.conv
	$(BIN)/python -m benchmarks.conv --methods "Autoencoder, as many parameters" --name conv_dense
	$(BIN)/python -m benchmarks.hashing
	$(BIN)/python -m benchmarks.hashing --parts memory --name hashing_memory
	$(BIN)/python -m benchmarks.psd
	$(BIN)/python -m benchmarks.report

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
