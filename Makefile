# `make run` and `make test` create their own virtual environment; they need Python 3.11 and git.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Some images set this, and then each of the many processes of the tests compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# No tool may report usage.
export DO_NOT_TRACK := true
# Silences the theme's advertisement of its successor, which is not a problem of the pages.
export NO_MKDOCS_2_WARNING := 1

.PHONY: help run test lint docs benchmark faults review viz ui notebooks requirements clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1|\2/' | \
		while IFS='|' read -r target text; do printf '%-14s%s\n' "$$target" "$$text"; done

run: $(VENV)/run.stamp  ## Set up and run the default pipeline on the sample corpus
	$(BIN)/kedro run

# Three processes keep two cores busy while tests wait for browsers and servers. One fills librosa's cache of
# compiled functions before: several at once can leave code of another type in it, which crashes.
test: $(VENV)/test.stamp  ## Set up and run all tests
	$(BIN)/python -c 'import librosa; librosa.yin, librosa.onset, librosa.effects, librosa.sequence, librosa.util.localmax'
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder --durations=15

lint: $(VENV)/test.stamp  ## Check style, types, import layers and the Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

docs: $(VENV)/docs.stamp  ## Build the documentation into site/; warnings are errors
	$(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html, or run $(BIN)/mkdocs serve, which also offers the search"

benchmark: $(VENV)/test.stamp  ## Measure speed; each case is timed beside a reference
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds

faults: $(VENV)/test.stamp  ## Kill, damage, fill and race real commands; write docs/faults-tried.md (20 minutes)
	SPEECH_EMOTION_FAULTS=1 SPEECH_EMOTION_FAULTS_TABLE=docs/faults-tried.md \
		$(BIN)/python -m pytest tests/faults --numprocesses=2 --dist=load --durations=10

review: $(VENV)/review.stamp  ## Score synthetic calls, if none were scored, and judge what is flagged
	@test -e data/mlflow.db || $(BIN)/kedro run
	@test -e data/07_model_output/calls/summary.parquet || { \
		$(BIN)/speech-emotion sample-calls data/01_raw/sample_calls && \
		$(BIN)/kedro run --pipelines call_scoring --params recordings_dir=data/01_raw/sample_calls; }
	$(BIN)/speech-emotion review --data data --single-user

viz: $(VENV)/run.stamp  ## Show the pipelines in kedro-viz
	$(BIN)/kedro viz run

ui: $(VENV)/run.stamp  ## Show runs and models in MLflow
	@echo "Runs of the sample corpus: http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
	$(BIN)/kedro mlflow ui

notebooks: $(VENV)/notebooks.stamp  ## Open the notebooks in Jupyter
	$(BIN)/jupyter lab notebooks

requirements: $(VENV)/test.stamp  ## Pin the dependencies again
	$(BIN)/pip-compile --quiet --extra dev --extra docs --extra notebooks --strip-extras --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --no-header --no-annotate \
		--output-file requirements.txt pyproject.toml

clean:  ## Remove the environment and the built documentation
	rm -rf $(VENV) site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The pins are for Linux on x86-64 and Python 3.11. As constraints they install no test tools for `make run`.
$(VENV)/run.stamp: $(VENV)/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint requirements.txt --editable .
	touch $@

# Modules are compiled when they are first imported: of those that are installed, tests need a part.
$(VENV)/test.stamp: $(VENV)/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --constraint requirements.txt --editable '.[dev]'
	touch $(VENV)/run.stamp $@

# One stamp for each extra: docs, notebooks, review.
$(VENV)/%.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --constraint requirements.txt --editable '.[$*]'
	touch $@
