# Needs Python 3.11 or newer and make; everything else comes from the lock files in requirements/, by tools/venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# `make test PYTHON=python3.13` takes that interpreter, in a virtualenv of its own: .venv-3.13.
ifeq ($(origin PYTHON),command line)
VERSION := $(shell "$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) and print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
$(if $(VERSION),,$(error PYTHON=$(PYTHON) is no Python 3.11 or newer))
VENV := .venv-$(VERSION)
INTERPRETER := $(PYTHON)
else
VENV := .venv
INTERPRETER :=
endif
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Looked at every time and quick when nothing is to be done: what counts is what the files say, not when they were written.
.PHONY: $(READY)
$(READY):
	@tools/venv $(VENV) $(INTERPRETER)

.PHONY: demo
demo: $(READY) ## in a minute: an identity, its login, a secret, and three refusals
	$(BIN)/watchword demo

.PHONY: serve
serve: $(READY) ## a server on this machine, left running, and the login to it; ARGS="--port 9000" is handed on
	$(BIN)/watchword serve --with-login --save-login $(ARGS)

.PHONY: test
test: $(READY) ## all tests, on SQLite and PostgreSQL; ARGS="-k lockout" is handed on
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

.PHONY: soak
soak: $(READY) ## the long races and models that `make test` runs a short form of, and properties with many more examples
	$(PY) -m pytest -n 2 --dist worksteal -m "soak or hypothesis or cluster" --hypothesis-profile soak $(ARGS)

# Pure tests, and exactly the modules that they are about. The floor is a little below what was measured (85.26 %), for
# other Pythons; it only rises.
RULES := tests/domain tests/http/test_heads.py tests/http/test_routing.py
COVERED := $(addprefix --cov=watchword.,domain http.heads http.routing)
FLOOR := 84

.PHONY: rules
rules: $(READY) ## which lines and branches of the rules their own tests never run; fails below the floor
	$(PY) -m pytest -n 2 --dist worksteal -m "not soak and not measures" --hypothesis-profile coverage $(COVERED) --cov-report=term --cov-fail-under=$(FLOOR) $(RULES) $(ARGS)

.PHONY: coverage
coverage: $(READY) ## the same, and which lines and branches were never run; takes half as long again
	$(PY) -m pytest -n 2 --dist worksteal --cov --cov-report=term $(ARGS)

.PHONY: check
check: $(READY) ## lint, format, types, layers, freshness of generated pages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -f tools/docs.py ]; then echo "$(PY) tools/docs.py --check"; $(PY) tools/docs.py --check; fi

.PHONY: format
format: $(READY) ## put every file into its form
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: docs
docs: $(READY) ## write the generated pages of docs/reference
	@if [ -f tools/docs.py ]; then $(PY) tools/docs.py; else echo "No page is generated yet."; fi

.PHONY: tour
tour: $(READY) ## take the pictures of docs/tutorial/console.md again
	WATCHWORD_TOUR=1 $(PY) -m pytest -m soak tests/web/test_tour.py $(ARGS)

.PHONY: bench
bench: $(READY) ## measure logins, reads and renewals on this machine
	@if [ -d bench ]; then $(PY) -m bench $(ARGS); else echo "There is no benchmark yet."; fi

.PHONY: lock
lock: $(READY) ## pin the dependencies again; ARGS="--upgrade" takes newer ones, without it only what pyproject.toml asks for changes
	$(LOCK) $(ARGS) pyproject.toml -o requirements/runtime.txt
	$(LOCK) $(ARGS) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	@if grep -nE 'https?://|^-' requirements/*.txt; then echo "A lock file must not hold addresses." >&2; exit 1; fi

.PHONY: clean
clean: ## remove the virtualenv and everything that was made
	rm -rf .venv .venv-* build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
