# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PREFIX ?= /opt/syncd
HOURS ?= 4
# Tests and daemons are started again and again, and need not be compiled each time.
unexport PYTHONDONTWRITEBYTECODE
# Tests of real processes wait for them, and a machine may be busy with something else: what fails is tried once more,
# and both results are shown.
AGAIN := --reruns 1 -rR
# Most of what the quick tests need is waiting, for syncs of the disk above all: so they get a file system in memory where
# there is one, and more workers than there are processors. The tests of crashes and of whole nodes under root stay on the disk.
QUICK := $(if $(wildcard /dev/shm/.),PYTEST_DEBUG_TEMPROOT=/dev/shm )$(BIN)/pytest $(AGAIN) -n 4 -m "not root and not heavy"
PURE := tests/protocol tests/core

.PHONY: help setup demo test lint pure rest test-heavy test-long test-root test-stack bench format install uninstall dist clean

help:
	@echo "make demo       a primary and a fresh secondary on this machine, in under a minute"
	@echo "make test       lint, types, floors and all tests"
	@echo "make test-heavy many random cases, kills at system calls, and tests that take long"
	@echo "make test-root  the tests that need root and network namespaces"
	@echo "make test-stack the deployment of docs/DEPLOYMENT.md with the real programs (root; Docker, HAProxy, ...)"
	@echo "make test-long  hours of random cases and kills (HOURS=$(HOURS))"
	@echo "make bench      how fast it is, against others that are installed (root, an hour)"
	@echo "make install    syncd as a service of this machine (sudo; PREFIX=$(PREFIX)); also the upgrade"
	@echo "make uninstall  removes it, keeps configuration and state"
	@echo "make dist       one archive with all wheels, installs without network"

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "syncd needs Python 3.11 or newer; this is %d.%d. Set PYTHON=python3.11 or later" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: $(VENV)/ready

demo: setup
	$(BIN)/python -m syncd.cli.demo

test: lint pure rest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pure: setup
	$(QUICK) --cov=protocol --cov=syncd.core --cov-branch --cov-fail-under=95 --cov-report=term:skip-covered $(PURE)

# Simulators work, tests of processes wait: together they take little longer than either.
rest: setup
	$(QUICK) --dist worksteal $(PURE:%=--ignore=%) --ignore=tests/hostile --ignore=tests/crash --ignore=tests/stack tests

test-heavy: setup
	$(BIN)/pytest $(AGAIN) -n 3 --dist worksteal -m "heavy and not root" tests
	$(BIN)/pytest $(AGAIN) -n 2 -m "not root" tests/crash
	$(BIN)/pytest $(AGAIN) -n 3 --dist loadfile -m "not root and not heavy" tests/hostile

test-long: setup
	$(BIN)/python -m tests.sim --hours $(HOURS)
	$(BIN)/python -m tests.hostile.test_fuzz --count 1000000
	$(BIN)/python -m tests.crash.sweep --all
	$(BIN)/python -m tests.crash.kills --count 2000

test-root: setup
	$(BIN)/pytest $(AGAIN) -n 3 --dist loadfile -m root tests

test-stack: setup
	$(BIN)/pytest -v -s -x -m stack tests/stack

bench: setup
	$(BIN)/python -m benchmarks

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install:
	PREFIX=$(PREFIX) PYTHON=$(PYTHON) sh deploy/install.sh

uninstall:
	PREFIX=$(PREFIX) sh deploy/uninstall.sh

dist:
	PYTHON=$(PYTHON) sh deploy/dist.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
