# Each target sets itself up: .venv is made, and filled again when a lock or the project changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PARAMS ?= notebooks/params/sample.yaml

VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_USER=0 $(BIN)/pip --disable-pip-version-check
BASE := $(VENV)/.base
CLASSES := $(VENV)/.classes
KERNEL := $(VENV)/.kernel
LAB := $(VENV)/.lab
DEV := $(VENV)/.dev
UV := uv==0.13.9
COVERAGE_HOOK := $(CURDIR)/tests/coverage_hook

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: run
run: $(KERNEL)  ## run the notebooks on the sample (PARAMS=FILE.yaml: on your own photos)
	$(BIN)/fruit-features run --params "$(PARAMS)"

.PHONY: test
test: $(DEV)  ## run every test that is not slow; show the coverage of helpers
	PYTHONPATH="$(COVERAGE_HOOK)" $(BIN)/python -m pytest -m "not slow" --cov --cov-fail-under=95

.PHONY: lint
lint: $(DEV)  ## check style, types and the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=data_sample $(BIN)/mypy data_sample
	$(BIN)/lint-imports --no-cache

.PHONY: lab
lab: $(LAB)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. notebooks/01_ingest.ipynb

.PHONY: sample
sample: $(KERNEL)  ## draw data_sample again and execute the committed notebooks on it
	$(BIN)/python data_sample/draw.py
	$(BIN)/python notebooks/execute.py

.PHONY: docs
docs: $(DEV)  ## write the pages, tables, cells and pictures that are generated from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/draw_architecture.py

.PHONY: lock
lock:  ## pin every dependency, with hashes, from pyproject.toml and requirements*.txt
	"$(PYTHON)" -m venv build/lock
	build/lock/bin/pip install --quiet $(UV)
	$(call compile,--extra local,laptop)
	$(call compile,$(SAME),cluster)
	$(call compile,--extra local $(SAME) requirements-lab.txt,lab)
	$(call compile,--extra local --extra tensorflow --extra int8 $(SAME) requirements-dev.txt,dev)

SAME := --constraint requirements-laptop.lock
compile = build/lock/bin/uv pip compile pyproject.toml --group build $(1) --quiet --universal \
	--python-version 3.11 --constraint requirements.txt --generate-hashes --no-annotate \
	--custom-compile-command "make lock" --output-file requirements-$(2).lock

.PHONY: services
services: $(DEV)  ## fetch the S3 server and Hadoop's connector that the tests on S3 need
	PYTHONPATH=tests $(BIN)/python -m harness.services

.PHONY: faults
faults: $(DEV)  ## kill and starve runs, and show how each came out (slow)
	$(BIN)/python -m pytest tests/faults tests/s3

.PHONY: slow
slow: $(DEV)  ## run the other tests that are too slow for make test
	$(BIN)/python -m pytest -m slow --ignore tests/faults --ignore tests/s3

.PHONY: bench
bench: $(DEV)  ## measure the project beside its peers, in 40 minutes (BENCH=--quick: in 8)
	$(BIN)/python -m benchmarks $(BENCH)

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A lock is whole, so pip resolves nothing: it would take later versions where an extra is asked for.
define install
$(PIP) install --progress-bar off --no-deps --require-hashes --requirement $(1)
$(PIP) install --quiet --no-deps --no-build-isolation --editable .
$(PIP) check
endef

$(BASE): requirements-laptop.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "Python 3.11 is needed, got '$(PYTHON)': make PYTHON=/path/to/python3.11 ..." >&2; \
		exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(call install,requirements-laptop.lock)
	touch $@

# Half a minute, once; each Spark session then starts with its classes. All works without it too.
$(CLASSES): $(BASE) helpers/spark/class_archive.py
	-$(BIN)/python -m helpers.spark.class_archive
	touch $@

$(KERNEL): $(BASE) $(CLASSES) helpers/kernel/spec.py helpers/spark/environment.py
	$(BIN)/python -m helpers.kernel install
	touch $@

$(LAB): requirements-lab.lock $(KERNEL)
	$(call install,requirements-lab.lock)
	touch $@

$(DEV): requirements-dev.lock $(KERNEL)
	$(call install,requirements-dev.lock)
	touch $@
