# `make` lists the targets. Each readies .venv by itself (tools/environment.sh); ARGS reaches the program that a target runs.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

ARGS =
PY := .venv/bin/python
export PYTHON

.PHONY: help run test test-peers check proto-check format proto clients descriptors release-contract bench lock clean up up-build down logs healthcheck venv-run venv-dev

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

run: venv-run ## Start the suite on 127.0.0.1:50051 (ARGS="--port 50052" for another port)
	@exec .venv/bin/antiphon serve $(ARGS)

test: venv-dev ## Run the tests that need pip packages alone
	@$(PY) -m pytest -n 3 --dist worksteal -m "not peers and not long" tests $(ARGS)

test-peers: venv-dev ## Run the tests against real peers, and the long ones (REQUIRE_PEERS=1: a missing peer is a failure)
	@$(PY) -m pytest -m "peers or long" -o timeout=1800 tests $(ARGS)

check: venv-dev proto-check ## Check format, lint, types, import rules and the contract
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy $(wildcard services clients/python tests tools bench conformance)
	@.venv/bin/lint-imports --no-logo

proto-check: venv-dev ## Check the contract: format, lint, compatibility, generated code and pages up to date
	@$(PY) -m tools.contract check

format: venv-dev ## Format the code and the protos
	@$(PY) -m ruff check --select I --fix --quiet .
	@$(PY) -m ruff format .
	@$(PY) -m tools.contract format

proto: venv-dev ## Format the protos and regenerate gen/python and docs/reference
	@$(PY) -m tools.contract generate

clients: venv-dev ## Regenerate the stubs of clients/ (ARGS="go typescript rust" for some; Java's build makes its own)
	@$(PY) -m tools.clients $(ARGS)

descriptors: venv-dev ## Write build/antiphon.binpb, for grpcurl -protoset
	@$(PY) -m tools.contract descriptors

release-contract: venv-dev ## Make today's contract the one that later ones must stay compatible with
	@$(PY) -m tools.contract release

bench: venv-dev ## Run the short form of the benchmarks and print their ratios
	@$(PY) -m bench $(ARGS)

up: ## Start the containers of docker-compose.yml (PROFILE=small: all in one; ARGS for docker compose up)
	@tools/containers.sh up $(ARGS)

up-build: ## Build the image, and start the containers
	@tools/containers.sh up-build $(ARGS)

down: ## Stop and remove the containers; what they keep stays (ARGS=--volumes: nothing stays)
	@tools/containers.sh down $(ARGS)

logs: ## Follow the logs of the containers; logs-SERVICE those of one, such as logs-chat
	@tools/containers.sh logs

# `users` is what Auth was once called.
logs-%:
	@tools/containers.sh logs $(patsubst users,auth,$*)

healthcheck: ## Ask every service of the containers whether it is ready
	@tools/containers.sh health

lock: venv-dev ## Refresh constraints.txt with the newest versions that pyproject.toml allows
	@$(PY) -m tools.lock

clean: ## Remove what the build and the tools made; the suite's data in .antiphon stays
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv-run:
	@tools/environment.sh run

venv-dev:
	@tools/environment.sh dev
