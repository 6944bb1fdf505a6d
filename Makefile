# Everything from a bare machine: `make demo` shows condormap at work, `make test` runs the whole suite.
# Both set up what they need first: a virtual environment in .venv, and HTCondor's daemons for this user.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-oldest judges lint bench clean

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

setup: $(VENV)/.ready  ## The virtual environment and HTCondor's daemons; quick the second time.
	@$(BIN)/python -c 'from condormap.pool.daemons import find_daemons; find_daemons()' 2>/dev/null || \
		$(BIN)/condormap pool install

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "condormap needs Python 3.11 or newer. Say which: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing python3-venv, which Debian keeps apart from Python" && \
		apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; } || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian: sudo apt install python3-venv"; exit 1; }
	@echo "Installing Python packages into $(VENV): once, one or two minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# Without its dependencies: one has to be compiled, and what is used here needs it not.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'wepy >= 1.2'
	@touch $@

demo: setup  ## Run the logistic map on a personal pool, and draw its bifurcation diagram.
	@$(BIN)/python examples/logistic.py

# Two processes, each with a pool of its own: most tests wait for HTCondor.
test: setup  ## Run the whole test suite on real HTCondor daemons.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all:  ## Run the suite on every Python from 3.11 on this machine; TESTS= to run some of it.
	@pythons=$$($(PYTHON) .ci/pythons.py) || exit 1; \
	echo "$$pythons" | while read -r version python; do \
		echo "Python $$version, $$python"; \
		$(MAKE) setup PYTHON=$$python VENV=.venv-$$version && \
		.venv-$$version/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS) </dev/null || exit 1; \
	done

# In a CONDORMAP_HOME of its own, so that this user's pools go on with the HTCondor that they have.
test-oldest: export CONDORMAP_HOME := $(CURDIR)/.oldest
test-oldest: $(VENV)/.ready  ## Run the suite on the oldest HTCondor that is supported, the 23.9 of Debian 13.
	@$(BIN)/condormap pool install --suite trixie
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

judges: setup  ## Run more of dask's own tests with the executor as their scheduler; takes long.
	@$(BIN)/python tests/dask_judge.py

lint: $(VENV)/.ready  ## Check style and types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup  ## Measure speed and memory against floors and peers.
	@for script in round_trips trivial_items million_items jdf_submit cluster_status event_log idle_wait job_overhead large_result executor reduce hdf5_stack trajectory_seek sasa distance_histogram; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:  ## Remove what the other targets made in this folder; the daemons stay (~/.condormap/daemons).
	rm -rf $(VENV) .venv-3.* .oldest output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
