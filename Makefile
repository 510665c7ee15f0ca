# make run: the whole service on this machine. make test: everything that must pass.

PYTHON ?= python3
PORT ?= $(or $(FEWSTEP_PORT),8000)
PROMETHEUS_PORT ?= $(or $(FEWSTEP_PROMETHEUS_PORT),9090)
PYTHONS ?= 3.11 3.12 3.13 3.14
VENV = .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
TOOLS = $(VENV)/.tools
PROMETHEUS = $(VENV)/.prometheus
FAST = tests/core tests/models tests/test_*.py
# Processes: some more than there are cores, since services that start and jobs that are waited for leave some idle.
CORES = $$(getconf _NPROCESSORS_ONLN)
PYTEST = $(BIN)/pytest --dist loadfile --no-loadscope-reorder --maxprocesses 5 --numprocesses
FIND = $(BIN)/uv python find --system

.DEFAULT_GOAL := help
# Where it is set, each process would compile PyTorch and diffusers anew: nine seconds.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help run monitor test check fuzz test-fast test-pythons test-containers bench lock vendor screenshots clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start everything and say when it is ready; PORT=8000 sets the port, Ctrl-C stops it
	@FEWSTEP_PORT='$(PORT)' exec $(BIN)/python -m core.local.run

monitor: $(PROMETHEUS) ## Prometheus with the alerts beside make run; PROMETHEUS_PORT=9090 sets its port, Ctrl-C stops it
	@FEWSTEP_PROMETHEUS_PORT='$(PROMETHEUS_PORT)' exec $(BIN)/python -m core.local.monitor

test: check $(PROMETHEUS) ## What must pass before a change goes in: check, then every test
	@$(PYTEST) $$(( $(CORES) + 2 ))

check: $(TOOLS) ## Lint, formatting, types, and that the console's libraries are as pinned
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m app.console.vendor

fuzz: $(TOOLS) ## Requests that the schema makes up, and such that are none, for FUZZ_SECONDS=180; make test has a few seconds of it
	@FUZZ_SECONDS='$(or $(FUZZ_SECONDS),180)' FUZZ_SEED='$(or $(FUZZ_SEED),random)' \
		$(BIN)/pytest tests/e2e/operation/test_fuzz.py

test-fast: $(TOOLS) ## Tests that need no server and no training: a minute
	@$(PYTEST) $$(( $(CORES) + 1 )) -m "not slow" $(FAST)

test-pythons: $(INSTALLED) ## check and test-fast with each of PYTHONS="3.11 3.12 ..." that is here or that uv can bring
	@for version in $(PYTHONS); do \
		python=$$($(FIND) $$version 2>/dev/null) || { \
			UV_HTTP_RETRIES=0 $(BIN)/uv python install --quiet --no-bin $$version 2>/dev/null && \
			python=$$($(FIND) $$version 2>/dev/null); } || { \
			echo "Python $$version: skipped, it is not here and uv cannot bring it"; continue; }; \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory check test-fast VENV=.pythons/$$version PYTHON="$$python" || exit; done

test-containers: $(TOOLS) ## Build the images, start Compose, disturb it; BASE_IMAGE, ENGINE=docker or podman
	@$(BIN)/python -m tests.containers.engine
	@$(BIN)/pytest --timeout 3600 tests/containers

bench: $(TOOLS) ## Run every benchmark; each prints a table
	@for benchmark in benchmarks/[a-z]*.py; do \
		echo "$$benchmark"; $(BIN)/python -m "benchmarks.$$(basename "$$benchmark" .py)" || exit; done

lock: $(INSTALLED) ## Write requirements.lock anew from pyproject.toml, keeping pins that still fit
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --output-file requirements.lock

vendor: $(INSTALLED) ## Fetch the console's libraries by npm at the versions of their manifest, and verify them
	@$(BIN)/python -m app.console.vendor fetch

screenshots: $(TOOLS) ## Draw the console's pictures in docs/ anew, by Chromium from a service of their own
	@$(BIN)/python -m tests.e2e.console.screenshots

clean: ## Remove .venv and caches; var/, with Redis's data and the logs, stays
	@rm -rf .venv .pythons .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the service needs. Touched last, so that an interrupted installation is taken up again.
$(INSTALLED): pyproject.toml requirements.lock docker/install.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Fewstep needs Python 3.11 or later, and $(PYTHON) is not; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install $(notdir $(PYTHON))-venv"; \
		exit 1; }
	@echo "Installing into $(VENV): up to a minute the first time, mostly PyTorch"
	@$(PYTHON) -m venv $(VENV)
	@sh docker/install.sh $(BIN)/python -e '.[worker,local]'
	@touch $@
	@echo "Installed"

# What tests and benchmarks need beside it.
$(TOOLS): $(INSTALLED) client/pyproject.toml
	@echo "Installing what tests need"
	@sh docker/install.sh $(BIN)/python -e '.[worker,local,dev]' -e ./client
	@touch $@

# Where no prometheus is on PATH. Not anew after each installation of ours: it is 100 MB.
$(PROMETHEUS): docker/prometheus/install.sh | $(INSTALLED)
	@sh docker/prometheus/install.sh $(VENV)/prometheus
	@touch $@
