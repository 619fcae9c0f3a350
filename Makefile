# `make` alone lists the commands. Python: the first of these that is new enough, or `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
SETUP = @test -n "$(PYTHON)" || { \
	echo "Python 3.11 or newer is missing. On Debian: apt-get update && apt-get install -y python3 python3-venv"; exit 1; }; \
	$(PYTHON) tools/setup.py
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint-bigquery fuzz dev serve bench bench-scale bench-serving leaderboard

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /\t/' | expand -t 15

setup: ## Install everything into .venv from the hash-locked requirements
	$(SETUP) platform

demo: ## Raw events of a demo shop to personalised lists over HTTP; the second time it reuses what is there
	$(SETUP) platform
	@$(BIN)/aisle demo

test: ## Run the tests
	$(SETUP) dev
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: ## Lint, formatting, types and import arrows
	$(SETUP) dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-bigquery: ## Google's analyser over the SQL that dbt writes for BigQuery; SQL=folder of what a test run kept
	$(SETUP) dev
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	sql="$(SQL)"; if [ -z "$$sql" ]; then \
		sql=$$scratch/sql; KEEP_SQL_IN=$$sql $(BIN)/python -m pytest -q tests/dbt/test_bigquery.py; \
	fi; \
	$(BIN)/python -m venv $$scratch/zetasql; \
	$$scratch/zetasql/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/zetasql.txt; \
	$$scratch/zetasql/bin/python tools/bigquery_lint.py "$$sql"

CASES ?= 100000
fuzz: ## Ask the service what its OpenAPI page allows, and what it forbids; CASES=100000 requests
	$(SETUP) dev
	@$(BIN)/python -m tools.fuzz --cases $(CASES)

dev: ## Dagster, the service and MLflow in this terminal; Ctrl-C stops all of them
	$(SETUP) platform
	@exec $(BIN)/aisle dev

serve: ## Answer requests from the live release, and nothing else
	$(SETUP) serve
	@exec $(BIN)/python -m serving

bench: ## Measure what the README claims; AISLE_DATA_DIR names the folder of online_retail.csv.gz
	$(SETUP) dev
	$(BIN)/python -m benchmarks.simulator
	$(BIN)/python -m benchmarks.warehouse_to_tensorflow
	$(BIN)/aisle demo
	$(BIN)/python -m benchmarks.live_session .aisle
	@if [ -z "$(AISLE_DATA_DIR)" ]; then \
		echo "Online Retail is left out. Set AISLE_DATA_DIR to the folder that holds online_retail.csv.gz."; \
	else \
		$(BIN)/python -m benchmarks.online_retail_baselines "$(AISLE_DATA_DIR)/online_retail.csv.gz" && \
		DAGSTER_HOME= $(BIN)/aisle run --home .aisle-retail --source files --mapping examples/online_retail.yaml \
			--recipe benchmarks/online_retail_weeks.yaml && \
		$(BIN)/python -m benchmarks.online_retail_weeks .aisle-retail; \
	fi

bench-scale: ## Measure how each station grows: 100 k, 1 M and 10 M interactions; an hour, 16 GB of memory, 20 GB of disk
	$(SETUP) dev
	$(BIN)/python -m benchmarks.scale --write

bench-serving: ## Measure the service beside a plain FastAPI, TFRS and LightGBM design of the same shop
	$(SETUP) dev
	$(BIN)/python -m benchmarks.serving

leaderboard: ## Tuned peers and Aisle on public data; AISLE_SHARED_DATA names the folder of its three sets; hours, 4 GB of memory
	$(SETUP) dev
	@test -n "$(AISLE_SHARED_DATA)" || { \
		echo "Set AISLE_SHARED_DATA to the folder that holds online_retail, gowalla and amazon-beauty."; exit 1; }
	$(BIN)/python -m benchmarks.leaderboard "$(AISLE_SHARED_DATA)" --write
