# make demo    set up what is missing, then run the example job twice and compare
# make unit    set up Python packages, then run the tests that need no engine (minutes)
# make test    set up what is missing, then check types and style and run every test
# The set-up's parts: setup (virtual environment), engine (a Docker Engine that answers), base (the cpu base).
# Each looks first and does nothing where there is nothing to do. PYTHON=... picks the interpreter, UV=... uv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
export VENV
# Bytecode is written: a test's processes would compile what they import each time anew, PyTorch or this package.
unexport PYTHONDONTWRITEBYTECODE
PIP := scripts/uv.sh pip install --quiet --compile-bytecode --python $(VENV)
INSTALL := $(PIP) --no-deps --require-hashes --only-binary :all:

.PHONY: help setup engine base demo unit test acceptance machines engines team lint format bench gpu gpu-pack screenshots lock clean dev compiled programs

help: ## what can be made
	@sed -n '1,5s/^# //p' Makefile
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/run.stamp ## the virtual environment with the reprise command

# uv makes the environment, and pip is in it, locked as any other package: the package fetches wheels by it.
$(VENV)/bin/python: | scripts/python.sh scripts/uv.sh
	@python="$$(scripts/python.sh)"; echo "making $(VENV) with $$("$$python" --version)"; \
	scripts/uv.sh venv --quiet --allow-existing --python "$$python" $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing reprise"
	@$(INSTALL) --requirement requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

engine: setup ## a Docker Engine that answers: the one that does, else the distribution's
	@scripts/engine.sh

base: engine ## the cpu base, pinned on this box
	@scripts/packages.sh "to make an OS image" mmdebstrap gpg debian-archive-keyring
	@$(VENV)/bin/reprise base build cpu >/dev/null

demo: setup engine base ## the example job: run, recorded, run again, compared
	@scripts/demo.sh

dev: $(VENV)/dev.stamp

# PyTorch and NumPy as in the cpu base, and the example job's packages, from the same locks: the runtime and the
# job are tested with them outside a container, too. PyTorch's CPU wheel is locked for one Python; under any other
# the tests that run it are run in the base.
$(VENV)/dev.stamp: requirements/dev.txt images/cpu/requirements.txt jobs/digits/requirements.txt $(VENV)/run.stamp
	@echo "installing what the tests need"
	@$(INSTALL) --requirement requirements/dev.txt
	@scripts/torch_for_tests.sh
	@touch $@

unit: dev ## the tests that need no engine and no server: nothing beside Python, git and bash
	@$(VENV)/bin/python -m pytest -n auto --ignore tests/integration -m "not server and not engine and not gpu and not slow and not acceptance"

# Side by side: the base is made while packages install and types are checked.
test: ## types, style and every test, on a real engine and registry
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=line base lint compiled programs
	@$(VENV)/bin/python -m pytest -n 3
	@scripts/test_in_base.sh

# What every process of the tests would else compile for itself. A fault in a test's file is told by the tests.
compiled: dev
	@$(VENV)/bin/python -m compileall -q orchestrator
	@$(VENV)/bin/python -m pytest --collect-only -qq >/dev/null 2>&1 || true

programs: engine dev
	@command -v docker >/dev/null || scripts/packages.sh "for the tests" docker-cli
	@scripts/packages.sh "for the tests" chromium-headless-shell docker-registry fish g++ git mount openssl postgresql python3-dev zsh

# Ray's own packages would fight with ours.
$(VENV)/ray.stamp: requirements/ray.txt | $(VENV)/bin/python
	@echo "installing Ray into $(VENV)/ray"
	@scripts/uv.sh venv --quiet --clear --python $(VENV)/bin/python $(VENV)/ray
	@scripts/uv.sh pip install --quiet --python $(VENV)/ray --no-deps --require-hashes --only-binary :all: --requirement requirements/ray.txt
	@touch $@

# Somebody else's validator: its packages stay out of ours.
$(VENV)/crate.stamp: requirements/crate.txt | $(VENV)/bin/python
	@echo "installing a validator of RO-Crates into $(VENV)/crate"
	@scripts/uv.sh venv --quiet --clear --python $(VENV)/bin/python $(VENV)/crate
	@scripts/uv.sh pip install --quiet --python $(VENV)/crate --no-deps --require-hashes --only-binary :all: --requirement requirements/crate.txt
	@touch $@

$(VENV)/frames.stamp: requirements/frames.txt | $(VENV)/bin/python
	@echo "installing pandas, polars and pyarrow into $(VENV)/frames"
	@scripts/uv.sh pip install --quiet --target $(VENV)/frames --no-deps --require-hashes --only-binary :all: --requirement requirements/frames.txt
	@touch $@

acceptance: base programs $(VENV)/ray.stamp $(VENV)/crate.stamp $(VENV)/frames.stamp ## the long end-to-end tests: two boxes, Slurm, Ray, foreign tools, all examples
	@scripts/packages.sh "for the long tests" slurmctld slurmd slurm-client munge skopeo podman
	@$(VENV)/bin/python -m pytest -m acceptance
	@REPRISE_TESTS_ALL=1 $(VENV)/bin/python -m pytest -n 2 -m "property and not engine"

machines: setup ## fresh Debian 12, 13 and unstable: make demo and make test in each (MACHINES="trixie" picks; hours)
	@scripts/machines.sh $(MACHINES)

engines: setup engine base dev ## one conformance suite on other engines beside this machine's own: docs/engines.md
	@scripts/packages.sh "for other engines" mmdebstrap gpg debian-archive-keyring
	@tests/engines/run.sh

team: setup engine base ## the commands of docs/team.md, typed and timed on a hub, a box and a laptop, which are network namespaces here
	@scripts/packages.sh "for a team on one machine" mmdebstrap iproute2 util-linux debian-archive-keyring
	@$(VENV)/bin/python scripts/team.py

lint: dev ## types and style
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: dev ## style, corrected
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: setup engine base ## benchmarks: benchmarks/README.md
	@$(VENV)/bin/python benchmarks/run.py

gpu: dev ## on a box with an NVIDIA GPU: what holds there, as one table in ten minutes (docs/gpu.md)
	@[ ! -e /dev/nvidiactl ] || scripts/engine.sh || true
	@[ ! -e /dev/nvidiactl ] || $(VENV)/bin/reprise base build cuda >/dev/null || true
	@$(VENV)/bin/python benchmarks/gpu_box.py

gpu-pack: dev ## for a GPU box without Docker and network: one file, 57 MiB (FOR=3.12 is that box's Python)
	@scripts/gpu-pack.sh reprise-gpu.tar.xz $(or $(FOR),3.12)

screenshots: setup dev ## the gallery of the dashboard: docs/screenshots/
	@scripts/packages.sh "for the screenshots" chromium-headless-shell
	@$(VENV)/bin/python scripts/screenshots.py

lock: dev ## the requirements files, made anew
	@PYTHON=$(VENV)/bin/python scripts/lock.sh

clean: ## remove what make made in this folder; runs, bases and the engine stay
	@rm -rf $(VENV) .uv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find orchestrator tests jobs benchmarks -name __pycache__ -prune -exec rm -rf {} +
