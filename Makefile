# make run: the whole service on this machine. make test: everything that must pass.

PYTHON ?= python3
PORT ?= $(or $(FEWSTEP_PORT),8000)
PROMETHEUS_PORT ?= $(or $(FEWSTEP_PROMETHEUS_PORT),9090)
BIN = .venv/bin
INSTALLED = .venv/.installed
TOOLS = .venv/.tools
PROMETHEUS = .venv/.prometheus

.DEFAULT_GOAL := help
.PHONY: help run monitor test test-containers check bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start everything and say when it is ready; PORT=8000 sets the port, Ctrl-C stops it
	@FEWSTEP_PORT='$(PORT)' exec $(BIN)/python -m core.local

monitor: $(PROMETHEUS) ## Prometheus with the alerts beside make run; PROMETHEUS_PORT=9090 sets its port, Ctrl-C stops it
	@FEWSTEP_PROMETHEUS_PORT='$(PROMETHEUS_PORT)' exec $(BIN)/python -m core.monitor

test: check $(PROMETHEUS) ## What must pass before a change goes in: check, then every test
	@$(BIN)/pytest

test-containers: $(TOOLS) ## Build the images, start Compose and disturb it; needs Docker or Podman, BASE_IMAGE names another base
	@$(BIN)/python -m tests.containers.engine
	@$(BIN)/pytest --timeout 3600 tests/containers

check: $(TOOLS) ## Lint, formatting, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(TOOLS) ## Run every benchmark; each prints a table
	@for benchmark in benchmarks/[a-z]*.py; do \
		echo "$$benchmark"; $(BIN)/python -m "benchmarks.$$(basename "$$benchmark" .py)" || exit; done

lock: $(INSTALLED) ## Write requirements.lock anew from pyproject.toml, keeping pins that still fit
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --output-file requirements.lock

clean: ## Remove .venv and caches; var/, with Redis's data and the logs, stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the service needs. Touched last, so that an interrupted installation is taken up again.
$(INSTALLED): pyproject.toml requirements.lock docker/install.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Fewstep needs Python 3.11 or later, and $(PYTHON) is not; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install $(notdir $(PYTHON))-venv"; \
		exit 1; }
	@echo "Installing into .venv: up to a minute the first time, mostly PyTorch"
	@$(PYTHON) -m venv .venv
	@sh docker/install.sh $(BIN)/python -e '.[worker,local]'
	@touch $@
	@echo "Installed"

# What tests and benchmarks need beside it.
$(TOOLS): $(INSTALLED)
	@echo "Installing what tests need"
	@sh docker/install.sh $(BIN)/python -e '.[worker,local,dev]'
	@touch $@

# Where no prometheus is on PATH. Not anew after each installation of ours: it is 100 MB.
$(PROMETHEUS): docker/prometheus/install.sh | $(INSTALLED)
	@sh docker/prometheus/install.sh .venv/prometheus
	@touch $@
