# Everything that a person or CI runs. `make` alone lists the targets.

PYTHON ?= python3
SECONDS ?= 60
VENV := .venv
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test lint format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Watch tokens rotate under faults, on embedded servers (SECONDS=60)
	@mkdir -p build
	@$(PY) -m infra.local --seconds $(SECONDS) --svg build/demo.svg

test: $(VENV)/.installed ## Run the tests, with branch coverage of handler/
	@$(PY) -W error -m pytest --cov

lint: $(VENV)/.installed ## Check style and types: ruff, ruff format, mypy --strict
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

format: $(VENV)/.installed ## Mend what ruff can mend
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

lock: $(VENV)/.installed ## Resolve requirements.txt and requirements-dev.txt anew from pyproject.toml
	@$(PY) -m uv pip compile $(COMPILE) --output-file requirements.txt pyproject.toml
	@$(PY) -m uv pip compile $(COMPILE) --group dev --output-file requirements-dev.txt pyproject.toml

COMPILE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

clean: ## Remove what the other targets made
	rm -rf $(VENV) build .coverage .mypy_cache .pytest_cache .ruff_cache

# The stamp is as new as the requirements, so that a second run installs nothing.
$(VENV)/.installed: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the locked requirements into $(VENV) ..."
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@
