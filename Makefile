# Everything sets itself up: `make demo` and `make test` work on a fresh clone with Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TO_RUN := $(addprefix requirements/,bootstrap.txt build.txt runtime.txt)
REQUIREMENTS := $(TO_RUN) requirements/dev.txt
# Rewritten only when what they depend on has changed: a second `make` starts at once, and works offline.
STAMP := $(VENV)/.set-up
# To run the platform, the packages of the tests are not needed: that is half of them.
STAMP_TO_RUN := $(VENV)/.set-up-to-run
WORKERS ?= 2
# The slow tests wait more than they work. Folder by folder: the slowest files come first.
TEST_WORKERS ?= 4
SEED ?= 1
MINUTES ?= 5
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet
IN_CONTAINERS := --excludes requirements/not-in-containers.txt --constraint requirements/runtime.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint check audit bench soak csv-report test-compose test-k8s docs lock

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything, pinned and checked by hash

$(STAMP): pyproject.toml $(REQUIREMENTS)
	$(call install,$(REQUIREMENTS),--compile-bytecode)
	@touch $@ $(STAMP_TO_RUN)

$(STAMP_TO_RUN): pyproject.toml $(TO_RUN)
	$(if $(wildcard $(STAMP)),$(MAKE) $(STAMP),$(call install,$(TO_RUN)))
	@touch $@

# Python's own pip installs uv, and uv installs the rest. A pip of its own costs the environment 5 s, so it gets one only
# where Python has none, or one that is too old.
BOOTSTRAP := install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt

define install
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make setup PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/uv || $(PYTHON) -m venv --without-pip $(VENV)
	test -x $(BIN)/uv || $(PYTHON) -m pip --python $(BIN)/python $(BOOTSTRAP) 2>/dev/null || \
		{ $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip $(BOOTSTRAP); }
	$(BIN)/uv pip sync --quiet --require-hashes $(2) --python $(BIN)/python $(1)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(call compile)
endef

# Where PYTHONDONTWRITEBYTECODE is set, each process would compile our modules again: 0.3 s of CPU every time.
define compile
	@$(BIN)/python -m compileall -q rtp_workers rtp_dagster
endef

# Compiling all packages at their installation takes 30 s of CPU. These two import a third of them, and keep what
# they compile, also where the environment says that Python keeps nothing.
COMPILED := env -u PYTHONDONTWRITEBYTECODE

demo: $(STAMP_TO_RUN)  ## the main job on data/ from start to end, then the reconciliation
	$(COMPILED) $(BIN)/rtp demo

up: $(STAMP_TO_RUN)  ## the whole platform until Ctrl-C
	$(COMPILED) $(BIN)/rtp up

lint: setup  ## format, lint, layers, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint  ## the same, unit and property tests; two minutes
	$(BIN)/pytest -q -n $(WORKERS) tests/unit tests/property

test: setup  ## every test that needs no Docker
	$(call compile)
	$(BIN)/pytest -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/compose --ignore tests/k8s

test-compose: setup  ## the containers, end to end; needs Docker
	$(BIN)/pytest -q tests/compose

test-k8s: setup  ## the Helm chart on a real Kubernetes node; needs Docker, and the first time 12 minutes to compile Kubernetes
	$(BIN)/pytest -q tests/k8s

audit: setup  ## known vulnerabilities in what is pinned; says so where no database of advisories can be reached
	$(BIN)/python .ci/audit.py

soak: setup  ## faults at random for MINUTES while records flow, then everything compared; SEED=n tries one again
	$(BIN)/python -m tests.soak --seed $(SEED) --minutes $(MINUTES)

bench: setup  ## our figures next to raw COPY, raw produce and raw consume
	$(BIN)/python -m bench

docs: setup  ## the documentation site, into build/docs; a warning is an error
	$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements/docs.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

csv-report: setup  ## how right the guessed mappings of foreign CSVs are, file by file
	$(BIN)/python -m bench.csv_report

lock: setup  ## pin the newest versions that pyproject.toml allows
	$(COMPILE) --upgrade pyproject.toml --output-file requirements/runtime.txt
	$(COMPILE) --upgrade pyproject.toml --group dev --constraint requirements/runtime.txt \
		--output-file requirements/dev.txt
	$(COMPILE) --upgrade requirements/docs.in --constraint requirements/dev.txt --output-file requirements/docs.txt
	$(COMPILE) pyproject.toml $(IN_CONTAINERS) --output-file requirements/container.txt
	$(COMPILE) pyproject.toml --extra kubernetes $(IN_CONTAINERS) --output-file requirements/kubernetes.txt
