# Webscout. `make help` lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# Real postings for the tests, beside the checkout when present.
WEBSCOUT_TEST_DATA ?= $(wildcard $(abspath ../shared/data))
export WEBSCOUT_TEST_DATA

.PHONY: install run test check bench bench-ranking chaos clean help

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed ## create .venv and install the pinned packages

run: install ## start the bot (without a token: local mode, a chat page)
	@exec $(BIN)/webscout

test: check ## everything: checks, then the whole test suite with coverage
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --cov --cov-report=term
	@$(BIN)/coverage report --include='resilience/*,cache/*,agents/domain/*' --fail-under=100 >/dev/null \
	  || { echo "resilience/, cache/ and agents/domain/ must be covered to 100 %"; exit 1; }

check: $(VENV)/.installed-dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev,bench]'
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed

bench: $(VENV)/.installed-bench ## what is measured (see bench/)
	@for name in scout breakers guard buckets cache duplicates layouts drafts ranking journal runs_api events health flood telegram; do \
	  echo "--- bench/$$name.py"; $(BIN)/python -m bench.$$name || exit 1; echo; done

bench-ranking: $(VENV)/.installed-bench ## how well and how fast postings are ranked, beside BM25 and TF-IDF, with a plot
	$(BIN)/python -m bench.ranking --plot docs/images/ranking.png

chaos: $(VENV)/.installed-dev ## 5,000 simulated crashes, 200 kills of the program, 20 of PostgreSQL (about 20 minutes)
	WEBSCOUT_SEEDS=5000 WEBSCOUT_KILLS=200 WEBSCOUT_PG_KILLS=20 \
	  $(BIN)/python -m pytest -n 2 --dist loadscope --timeout 7200 tests/chaos tests/e2e/test_kill.py \
	  tests/failure_modes/test_postgresql_failure.py

clean: ## remove .venv, caches and build output (never var/, where your data is)
	rm -rf $(VENV) build ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18
