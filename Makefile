# The verbs of the README. Each target does the set-up it needs and repeats nothing that is up to date.
# No target needs root.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.stamp-install
# Virtual machines of `make lab`: softroce-2 or softroce-4.
LAB ?= softroce-4
# What makes their traffic: auto (roce-load where it runs), native or pyverbs.
ENGINE ?= auto
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# What the installed program depends on: a change here builds and installs again.
NATIVE_SOURCES := $(shell find native -type f \( -name '*.c' -o -name '*.h' -o -name 'CMakeLists.txt' -o -name '*.cmake' \) 2>/dev/null)
INSTALL_INPUTS := pyproject.toml CMakeLists.txt $(NATIVE_SOURCES)

# Every command finds the tools of the environment (pytest, roce-sim, cmake when it came as a wheel) first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Runs without a person in front of it are quiet about what pip could be upgraded to.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-python test-native test-suites test-defects pages lab lab-faults check check-python check-native bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: $(STAMP) ## make .venv with everything installed, roce-sim compiled
	@echo "ready: $(BIN)/pytest suites, $(BIN)/roce --help"

$(PY):
	@PYTHON="$(PYTHON)" bash .ci/preflight
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(STAMP): $(INSTALL_INPUTS) | $(PY)
	@bash .ci/preflight compiler
	@echo "installing into $(VENV) (compiles roce-sim; a minute the first time)"
	@bash .ci/install $(PY)
	@touch $@

demo: $(STAMP) ## validate a simulated fabric and write an HTML report
	@$(PY) -m pytest suites -n $(JOBS) -m "not slow"
	@echo "report: $(CURDIR)/runs/latest/report.html"

test: test-native test-suites test-defects test-python ## unit tests, native tests under sanitizers, the quick suites, defects that they must notice

test-python: $(STAMP)
	@echo "== harness/tests"
	@$(PY) -m pytest harness/tests -n $(JOBS) -m "not lab"

test-native: $(STAMP)
	@echo "== native tests, address and undefined-behaviour sanitizers"
	@bash .ci/native sanitize
	@echo "== roce-load under the thread sanitizer"
	@bash .ci/native threads

test-suites: $(STAMP)
	@echo "== suites on the simulated fabric, and again without the evidence they used"
	@$(PY) -m pytest suites -n $(JOBS) -m "not slow" --prove-evidence --record build/suites
	@roce report build/suites --format bounds -o build/bounds.md >/dev/null
	@diff -u docs/bounds.md build/bounds.md >build/bounds.diff || { head -n 40 build/bounds.diff; echo "docs/bounds.md is not current: make pages"; exit 1; }

test-defects: $(STAMP)
	@echo "== defects of simulated devices, each before the tests that say they catch it"
	@roce defects --quick --jobs $(JOBS) --out build/defects

pages: $(STAMP) ## write the pages that come from tests: plan, bounds, defects (some minutes)
	@$(PY) -m suites.plan_index
	@$(PY) -m pytest suites -n $(JOBS) -m "not slow" -q --record build/suites
	@roce report build/suites --format bounds -o docs/bounds.md
	@roce defects --jobs $(JOBS) --out build/matrix && cp build/matrix/matrix.md docs/defects.md

lab: $(STAMP) ## the suites on virtual machines with Soft-RoCE: real verbs, real SSH
	@roce lab build
	@$(PY) -m pytest suites --fabric vmlab --topology $(LAB) --engine $(ENGINE) -m "not slow"
	@echo "report: $(CURDIR)/runs/latest/report.html"

lab-faults: $(STAMP) ## break that lab in every way it may break: each fault is named, soon, and leaves nothing behind
	@$(PY) -m pytest harness/tests/lab harness/tests/vmlab -m lab

check: check-python check-native ## lint, types, import contracts, warnings as errors, a short fuzz run

check-python: $(STAMP)
	@echo "== ruff"; ruff check . && ruff format --check .
	@echo "== mypy"; mypy
	@echo "== import contracts"; lint-imports --no-cache 2>&1 | tail -n 12; exit $${PIPESTATUS[0]}

check-native: $(STAMP)
	@echo "== native code, warnings as errors"
	@bash .ci/native werror
	@bash .ci/native tidy
	@echo "== fuzzing the job parser for a moment"
	@bash .ci/native fuzz

bench: $(STAMP) ## roce-sim beside published figures, roce-load beside perftest; verdicts by seed; the page of a big session; defects
	@$(PY) -m bench $(BENCH_ARGS)
	@$(PY) -m bench verdicts --workers $(JOBS)
	@$(PY) -m bench report
	-@$(PY) -m bench null
	-@$(PY) -m bench generator
	-@$(PY) -m bench traffic
	@roce defects --jobs $(JOBS)

clean: ## remove .venv, builds and results
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov allure-results
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
