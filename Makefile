# Two commands do everything: `make daily` and `make test`. `make help` lists the rest.

PYTHON ?=
VENV := .venv
BIN := "$(VENV)/bin"
MARKET ?=
FLAGS ?=
EXTRAS ?=
PORT ?= 4200
PROCESSES ?= 3
ENVIRONMENT := VENV="$(VENV)" PYTHON="$(PYTHON)" sh scripts/environment.sh
PYTEST := $(BIN)/python -m pytest -q --durations=20 -n $(PROCESSES) --dist loadscope --no-loadscope-reorder
# Prefect's files lie with the others, so that a checkout which cannot be written runs, too.
ifdef FOUNDRY_HOME
export PREFECT_HOME ?= $(FOUNDRY_HOME)/prefect
endif
export PREFECT_SERVER_URL ?= http://127.0.0.1:$(PORT)/api

.DEFAULT_GOAL := help
# No command is a file.
.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 20

install: ## Create .venv with the pinned dependencies (PYTHON=python3.12 VENV=folder EXTRAS='dask yfinance')
	@$(ENVIRONMENT) $(EXTRAS)

install-dev: ## The same with the development tools
	@$(ENVIRONMENT) dev

daily: install ## Generate, mine and submit once (MARKET=path|sample|yfinance, FLAGS='--simulations 200')
	@$(BIN)/python -m flows.daily $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

screen: install ## Judge thousands of ideas in bulk, on search days (FLAGS='--prescreen 5000')
	@$(BIN)/python -m flows.screen $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

continuous: install ## Generate and mine until Ctrl-C
	@$(BIN)/python -m flows.continuous $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

algorithms: install ## Have models write trading algorithms and race them (FLAGS='--ticker AAPL --models a,b')
	@$(BIN)/python -m flows.algorithms $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

desk: install ## Let a desk of agents trade five sessions of a generated market (DAYS=252d, FLAGS='--seed 7')
	@$(BIN)/python -m flows.desk simulate $(or $(DAYS),5d) $(if $(MARKET),--market '$(MARKET)') $(FLAGS)

supervise: install ## Keep the processes of config/processes.yaml alive (FLAGS='--test --only alphas')
	@$(BIN)/python -m flows.supervise $(FLAGS)

up: install ## Start the whole platform for days: Prefect server, worker, processes (PORT is --port)
	@$(BIN)/python -m flows.platform up $(if $(filter file,$(origin PORT)),,--port $(PORT)) $(FLAGS)

down: ## End the platform
	@$(BIN)/python -m flows.platform down

status: ## Show what the platform does
	@$(BIN)/python -m flows.platform status

restore: install ## Put every database back as the newest whole copy has it (FLAGS='--check --from DAY')
	@$(BIN)/python -m flows.platform restore $(FLAGS)

web: install ## Serve the web dashboard alone (FLAGS='--port 4211')
	@$(BIN)/python -m flows.web $(FLAGS)

link: ## Print a link that opens the dashboard signed in, once and within a minute
	@$(BIN)/python -m flows.web --link $(FLAGS)

unit: ## Print the platform as a service for systemd
	@$(BIN)/python -m flows.platform unit

test: install-dev ## Run the tests, all but those that take minutes (PROCESSES=3 of pytest)
	@$(PYTEST) -m 'not long and not fresh' $(FLAGS)

test-quick: install-dev ## Run the tests that take less than ten seconds each
	@$(PYTEST) -m 'not slow and not long and not fresh' $(FLAGS)

test-long: install-dev ## Run the tests that take minutes: many kills, many simulations, the documentation
	@$(PYTEST) -m 'long or hypothesis' --hypothesis-profile=thorough $(FLAGS)

test-fresh: install-dev ## Run `make daily` and the quick tests on fresh Debian systems (needs root)
	@$(BIN)/python -m pytest -q -rs -m fresh tests/fresh $(FLAGS)

test-hosts: install-dev ## Run commands on several hosts, one without power, one cut off (needs root and namespaces)
	@$(BIN)/python -m pytest -q -rs tests/hosts $(FLAGS)

lint: install-dev ## Format check, lint, types, and imports that point down without circles
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: install-dev ## Write the documentation with the library's reference into build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/docs/index.html"

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

bench-models: install-dev ## Count models that are promoted on markets without effects, and true ones (FLAGS='--seeds 20')
	@$(BIN)/python -m benchmarks.models $(FLAGS)

bench-market: install-dev ## Measure loading, looking back and updating (FLAGS='--file BARS.parquet')
	@$(BIN)/python -m benchmarks.market $(FLAGS)

bench-library: install-dev ## Measure single steps of the library: markets, hostile texts
	@$(BIN)/python -m benchmarks.library $(FLAGS)

bench-search: ## Race the search against others at equal budgets (FLAGS='--whole' takes hours)
	@$(ENVIRONMENT) dev bench
	@$(BIN)/python -m benchmarks.search $(FLAGS)

bench-public: install-dev ## Compare statistics with results that users of BRAIN published (FLAGS='--results FILE')
	@$(BIN)/python -m benchmarks.public_results $(FLAGS)

bench-truth: install-dev ## Count false finds on markets without effects, and true ones (FLAGS=--quick)
	@$(BIN)/python -m benchmarks.truth $(FLAGS)

bench-sentiment: ## Score 300 headlines with the lexicon and with VADER (FLAGS=--wrong)
	@$(ENVIRONMENT) dev bench-sentiment
	@$(BIN)/python -m benchmarks.sentiment $(FLAGS)

bench-startup: install-dev ## Measure where the seconds of a command's start and end go
	@$(BIN)/python -m benchmarks.startup $(FLAGS)

bench-screen: install-dev ## Measure screening in ideas a second, and what it finds (FLAGS=--quick)
	@$(BIN)/python -m benchmarks.screen $(FLAGS)

bench-supervisor: ## Measure what survives, restarts, output and idle children beside supervisord and circus (FLAGS=--quick)
	@VENV=.venv-supervisor PYTHON="$(PYTHON)" sh scripts/environment.sh bench-supervisor
	@.venv-supervisor/bin/python -m benchmarks.supervisor $(FLAGS)

bench-prefect-day: install-dev ## Measure Prefect's database after 24 hours of the platform, retention run
	@$(BIN)/python -m benchmarks.prefect_day $(FLAGS)

bench-dashboard: install-dev ## Measure every page over 100,000 alphas and 10 million samples
	@$(BIN)/python -m benchmarks.dashboard $(FLAGS)

soak: install-dev ## Run the supervisor with faults each minute and print what grows (MINUTES=20)
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20) $(FLAGS)

bench-engine: ## Compare the alpha engine with pandas, NumPy, polars, KunQuant (FLAGS='--rounds 3')
	@$(ENVIRONMENT) dev bench
	@$(BIN)/python -m benchmarks.engine $(FLAGS)

bench-desk: ## Compare the desk's book with cvxportfolio and bt, its solver, its luck (FLAGS='--seeds 20')
	@VENV=.venv-desk PYTHON="$(PYTHON)" sh scripts/environment.sh bench-desk
	@.venv-desk/bin/python -m benchmarks.desk $(FLAGS)

bench-desk-ticks: install-dev ## Measure failures that a desk foretells, lateness under load, a status over a million ticks
	@$(BIN)/python -m benchmarks.desk_ticks $(FLAGS)

bench-coordinator: ## Compare trials and signal replay with vectorbt and full backtests
	@$(ENVIRONMENT) dev bench
	@$(BIN)/python -m benchmarks.coordinator $(FLAGS)

clean: ## Remove caches and build output (keeps .venv and .foundry)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +
