# Two commands do everything: `make daily` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MARKET ?=
FLAGS ?=
PORT ?= 4200
export PREFECT_SERVER_URL ?= http://127.0.0.1:$(PORT)/api

.DEFAULT_GOAL := help
.PHONY: help install install-dev daily continuous test test-quick lint format server worker deploy \
        alpha101 algorithms bench-algorithms bench-caps bench-coordinator bench-engine bench-market bench-search clean leaks

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample]'
	@mkdir -p .foundry
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.installed ## Create .venv with the pinned dependencies
install-dev: $(VENV)/.installed-dev ## The same with the development tools

daily: install ## Generate, mine and submit once (MARKET=path|sample|yfinance, FLAGS='--simulations 200')
	@$(BIN)/python -m flows.daily $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

continuous: install ## Generate and mine until Ctrl-C
	@$(BIN)/python -m flows.continuous $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

algorithms: install ## Have models write trading algorithms and race them (FLAGS='--ticker AAPL --models a,b')
	@$(BIN)/python -m flows.algorithms $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

test: install-dev ## Run all tests
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(FLAGS)

test-quick: install-dev ## Run the tests that take less than ten seconds each
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow' $(FLAGS)

lint: install-dev ## Format check, lint, types, and imports that point down
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

server: install ## Run the Prefect server and UI (PORT=4200)
	@$(BIN)/python -m tasks.prefect.server --port $(PORT)

worker: install ## Run a worker for the deployments
	@PREFECT_API_URL=$(PREFECT_SERVER_URL) $(BIN)/prefect worker start --pool local --type process

deploy: install ## Register every deployment and provision the limits
	@PREFECT_API_URL=$(PREFECT_SERVER_URL) $(BIN)/python -m deployments.deploy

alpha101: install-dev ## Simulate the 101 Formulaic Alphas and write docs/alpha101.md
	@$(BIN)/python -m benchmarks.alpha101 $(FLAGS)

bench-algorithms: install-dev ## Measure asking 6 and 60 language models at once, and the arena
	@$(BIN)/python -m benchmarks.algorithms $(FLAGS)

bench-caps: install-dev ## Measure the simulation cap over two processes
	@$(BIN)/python -m benchmarks.caps $(FLAGS)

leaks: install-dev ## Show what a market gives to who sees the future (MARKET=path)
	@$(BIN)/python -m benchmarks.leaks $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

bench-market: install-dev ## Measure loading, looking back and updating (FLAGS='--file BARS.parquet')
	@$(BIN)/python -m benchmarks.market $(FLAGS)

bench-search: install-dev ## Measure what the search finds over several seeds
	@$(BIN)/python -m benchmarks.search $(FLAGS)

bench-engine: install-dev ## Compare the alpha engine with pandas, NumPy, polars, KunQuant (FLAGS='--rounds 3')
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks.engine $(FLAGS)

bench-coordinator: install-dev ## Compare trials and signal replay with vectorbt and full backtests
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks.coordinator $(FLAGS)

clean: ## Remove caches and build output (keeps .venv and .foundry)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
