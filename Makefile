# `make run` and `make test` set up an environment of their own and need Python 3.11 and nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The commands below must not report usage anywhere.
export DO_NOT_TRACK := true

.PHONY: run test lint benchmark viz ui requirements clean

run: $(VENV)/run.stamp  ## Set up and run the main job on the sample corpus
	$(BIN)/kedro run

test: $(VENV)/test.stamp  ## Set up and run all tests
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --durations=15

lint: $(VENV)/test.stamp  ## Check style, types and the layers of the packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(VENV)/test.stamp  ## Measure speed, each figure beside its reference
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds

viz: $(VENV)/run.stamp  ## Open the map of the pipelines
	$(BIN)/kedro viz run

ui: $(VENV)/run.stamp  ## Open the MLflow UI
	$(BIN)/kedro mlflow ui

requirements: $(VENV)/test.stamp  ## Pin the versions anew
	$(BIN)/pip-compile --quiet --extra dev --strip-extras --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --no-header --no-annotate \
		--output-file requirements.txt pyproject.toml

clean:  ## Remove the environment
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The pins hold for Linux on x86-64 and Python 3.11; they only constrain, so run installs no test tools.
$(VENV)/run.stamp: $(VENV)/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint requirements.txt --editable .
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --constraint requirements.txt --editable '.[dev]'
	touch $@
