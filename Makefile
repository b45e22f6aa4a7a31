# `make up` and `make test` need only Python 3.11+, make and git: the rest is installed from uv.lock into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# A start of the server is seven Python processes: without cached bytecode each of them compiles Django again.
unexport PYTHONDONTWRITEBYTECODE
PYTHON := .venv/bin/python
UV_VERSION := 0.13.8
STAMP := .venv/.installed
WORKERS ?= 2
# uv is looked up once; a fresh machine gets its own copy in .tools.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)

.PHONY: help install up test nightly lint types imports schema bench format browser

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): uv.lock pyproject.toml $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)
	$(UV) sync --locked --quiet --compile-bytecode
	@touch $(STAMP)

install: $(STAMP) ## install everything from the lock into .venv

up: $(STAMP) ## run the whole server; UP_ARGS=--no-demo starts empty
	@exec $(PYTHON) manage.py up $(UP_ARGS)

test: $(STAMP) ## run all tests on stores of their own; TEST_ARGS selects
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup $(TEST_ARGS)

nightly: $(STAMP) ## 10,000 random HogQL queries over several projects, other ones each day
	HYPOTHESIS_PROFILE=nightly $(PYTHON) -m pytest -n $(WORKERS) --dist load tests/events/hogql/tenancy $(TEST_ARGS)

browser: ## install Chromium for tests/browser; PERSONS_API_REQUIRE_BROWSER=1 makes a missing one a failure
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium chromium-driver fonts-dejavu-core >/dev/null; \
	else echo "install chromium and chromedriver to run tests/browser"; fi

lint: $(STAMP) ## style and common mistakes
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(STAMP) ## let ruff write what it can
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types: $(STAMP) ## mypy, strict
	$(PYTHON) -m mypy

imports: $(STAMP) ## who may import whom
	.venv/bin/lint-imports

schema: $(STAMP) ## write docs/openapi.yaml
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

bench: $(STAMP) ## measure; one line per measure, benchmarks/latest.json
	$(PYTHON) -m benchmarks $(BENCH_ARGS)
