# Needs Python 3.11, 3.12 or 3.13 with venv and pip, and make; everything else goes into .venv.

PYTHON ?= python3
UV ?= uv
ARGS ?=
CASES ?=
PROCESSES ?= 3
SERVER ?= transformers
PY := .venv/bin/python
PIP := -m pip --disable-pip-version-check --quiet install --root-user-action=ignore
PIP_INSTALL := $(PY) $(PIP)
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help run test test-properties test-long test-kills test-large-files test-corpus test-real-server check screenshots supply-chain licences sbom audit bench format openapi lock install install-dev clean
MAKEFLAGS += --no-print-directory
# Without it every process of the tests compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## run everything here: engines, API and worker (BREAKWATER_PORT, BREAKWATER_WORKERS …)
	@$(PY) -m cli run

test: .venv/dev.stamp ## run the tests, three at a time (ARGS="tests/db -k fence -x", PROCESSES=0 for one by one in front of you)
	@$(PY) -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-properties: .venv/dev.stamp ## run the property tests on examples that nobody saw yet
	@$(PY) -m pytest --numprocesses $(PROCESSES) --dist loadfile --hypothesis-profile "new examples" -m hypothesis $(ARGS)

test-long: .venv/dev.stamp ## run the tests that take minutes or a machine of their own (ARGS=-s shows what they measured)
	@$(PY) -m pytest -m long $(ARGS)

test-kills: .venv/dev.stamp ## kill workers in the middle of calls, 24 times under each promise, and count calls at the provider
	@$(PY) -m pytest -m long -s tests/faults/test_kills_mid_call.py $(ARGS)

test-large-files: .venv/dev.stamp ## import a CSV and a JSON-lines file of a million rows, compare every row, and time first and last batches
	@$(PY) -m pytest -m long -s tests/worker/test_large_files.py tests/sources/test_files.py $(ARGS)

test-corpus: .venv/dev.stamp ## import 5,000 new generated files and compare every value (CASES="csv-17 parquet-4" for these alone)
	@BREAKWATER_TEST_CORPUS="$(CASES)" $(PY) -m pytest -m long -s tests/corpus $(ARGS)

test-real-server: .venv/dev.stamp .real-server/$(SERVER).stamp ## let a real model server answer a job (SERVER=transformers or llama-cpp)
	@BREAKWATER_TEST_REAL_SERVER=$(SERVER) BREAKWATER_TEST_REAL_SERVER_PYTHON=$(CURDIR)/.real-server/$(SERVER)/bin/python \
	  $(PY) -m pytest -m real_server -s $(ARGS)

check: .venv/dev.stamp ## lint, format, types, layers, openapi.json: what must pass before a commit
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m cli openapi --check

supply-chain: licences sbom audit ## look at everything that is locked: licences, bills of materials, known vulnerabilities

licences sbom audit: .venv/dev.stamp .supply-chain/stamp
	@$(PY) -m supply_chain $@

bench: .venv/run.stamp ## measure this machine (ARGS=…)
	@$(PY) -m bench $(ARGS)

format: .venv/dev.stamp ## format the code and mend what can be mended
	@$(PY) -m ruff check --quiet --fix . ; $(PY) -m ruff format --quiet .

screenshots: .venv/dev.stamp ## take the README's pictures of the dashboard anew (needs Chromium)
	@$(PY) -m tests.support.screenshots

openapi: .venv/dev.stamp ## write openapi.json from the code, and the explanations of problems from the reference
	@$(PY) -m cli openapi

lock: ## pin every dependency with its hashes, from pyproject.toml (ARGS=--upgrade); needs uv
	@command -v "$(UV)" >/dev/null || { echo "make lock needs uv: install it, or set UV to its path." >&2; exit 1; }
	@$(COMPILE) $(ARGS) --extra embedded --group dev pyproject.toml requirements/build.in -o requirements/dev.lock
	@$(COMPILE) -c requirements/dev.lock --extra embedded pyproject.toml requirements/build.in -o requirements/run.lock
	@$(COMPILE) -c requirements/dev.lock pyproject.toml requirements/build.in -o requirements/prod.lock
	@$(COMPILE) $(ARGS) requirements/supply-chain.in -o requirements/supply-chain.lock

install: .venv/run.stamp ## install what `make run` needs into .venv
install-dev: .venv/dev.stamp ## install what the tests and checks need into .venv

clean: ## remove .venv, model servers and caches; the data in .breakwater stays
	@rm -rf .venv .real-server .supply-chain .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    echo "Creating .venv with $$("$$python" --version)."; \
	    "$$python" -m venv .venv && exit 0; rm -rf .venv; exit 1; \
	  fi; \
	done; \
	echo "Breakwater needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is none: make PYTHON=/path/to/python3.11" >&2; exit 1

# The project goes in without its dependencies, which the lock has brought already, and without a build environment,
# which would fetch setuptools from outside the lock.
.venv/%.stamp: requirements/%.lock pyproject.toml | .venv/bin/python
	@echo "Installing $< into .venv."
	@$(PIP_INSTALL) --require-hashes -r $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# The tools that look at what is locked live apart from it.
.supply-chain/stamp: requirements/supply-chain.lock | .venv/bin/python
	@echo "Installing $< into .supply-chain."
	@rm -rf .supply-chain && $(PY) -m venv .supply-chain
	@.supply-chain/bin/python $(PIP) --require-hashes -r $<
	@touch $@

# What a model server needs would clash with our lock, so it lives apart.
.real-server/%.stamp: requirements/real-server/%.txt | .venv/bin/python
	@echo "Installing $< into .real-server/$*."
	@rm -rf .real-server/$* && $(PY) -m venv .real-server/$*
	@.real-server/$*/bin/python $(PIP) -r $<
	@touch $@
