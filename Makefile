# Everything happens in .venv; the only things needed beforehand are Python 3.11+ and make.
# What a target needs it installs itself, so `make demo` and `make test` work in a fresh clone.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first Python that is new enough; `make PYTHON=/path/to/python3.12 …` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test simulate identity kafka chaos matrix lint fix schemas bench evaluate claims movielens lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  \033[1m%-9s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv with everything from the lock file

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found on PATH." \
		"Install one (e.g. apt install python3.11 python3.11-venv, or brew install python@3.11)" \
		"or name it: make PYTHON=/path/to/python3.11 install" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## Start broker, store and worker, replay a simulation, print profiles and figures
	$(BIN)/profiler demo

test: install ## Run all tests, two at a time (with the embedded broker and store)
	$(BIN)/pytest -n 2

SEEDS ?= 1000
simulate: install ## Run the worker in a simulated world under SEEDS schedules of faults
	SIMULATE_SEEDS=$(SEEDS) $(BIN)/pytest -q -n auto tests/simulation

EXAMPLES ?= 10000
IDENTITY_SEED ?= 1
identity: install ## Live EXAMPLES random histories of links and cuts, drawn from IDENTITY_SEED
	IDENTITY_EXAMPLES=$(EXAMPLES) IDENTITY_SEED=$(IDENTITY_SEED) $(BIN)/pytest -q -n auto tests/histories

KAFKA := 4.4.0
BROKERS := 1
kafka: install ## Run Apache KAFKA (4.4.0 or 3.9.2) with BROKERS (1 or 3) until Ctrl-C
	$(BIN)/python -m tests.servers.apache_kafka --version $(KAFKA) --brokers $(BROKERS)

DURATION_S := 120
SEED := 1
STORE :=
chaos: install ## Kill, freeze and restart workers, store and BROKERS for DURATION_S by SEED, then audit
	$(BIN)/python -m tests.chaos --duration-s $(DURATION_S) --seed $(SEED) --brokers $(BROKERS) \
		$(if $(STORE),--store $(STORE))

ONLY :=
matrix: install ## Try brokers, stores and producers together (or ONLY one cell), and write the table
	$(BIN)/python -m tests.matrix $(if $(ONLY),--only $(ONLY))

lint: install ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: install ## Mend style and format where a tool can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schemas: install ## Regenerate schemas/ from the types
	$(BIN)/profiler schemas --write schemas

bench: install ## Measure events/s, against a plain Faust agent
	$(BIN)/profiler bench

MOVIELENS := cache/ml-100k
EVALUATE :=
evaluate: install ## Predict data sets event by event, against baselines (or EVALUATE=one of them)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.evaluate $(foreach name,$(EVALUATE),--only $(name))

claims: install ## Measure again what is claimed of predictions; fails where it does not hold
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.claims

movielens: install ## Fetch MovieLens-100k (for research, see docs/evaluation.md) into MOVIELENS
	$(BIN)/python -m streams.movielens $(MOVIELENS)

LOCK := $(BIN)/uv pip compile --quiet --universal -p 3.11 --generate-hashes --no-header

lock: install ## Regenerate the lock files from pyproject.toml
	$(LOCK) --all-extras --group dev pyproject.toml -o requirements.lock
	$(LOCK) -c requirements.lock --extra avro --extra protobuf pyproject.toml -o requirements-runtime.lock
	$(LOCK) -c requirements.lock --group build -o requirements-build.lock

clean: ## Remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
