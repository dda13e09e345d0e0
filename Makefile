# `make help` lists the targets. ARGS goes to the program: make test ARGS="-k roster -x"
ARGS ?=
python = .venv/bin/python
# Tests wait much, for servers that were stopped on purpose: two workers more than there are processors.
workers = $(shell expr $$(nproc) + 2)
# A few files hold most of the long tests: whoever has nothing left to do takes some of another worker's.
spread = -n $(workers) --dist worksteal
# Many containers forbid it; the tests start a thousand Python processes, and each would compile dbroster again.
unexport PYTHONDONTWRITEBYTECODE
# Once, before all workers begin with it at the same time.
compiled = $(python) -m compileall -q -j 0 src servers tests
typed = $(wildcard src scripts servers tests demo tools benchmarks)

# In CI a server that is missing is a failure, not a reason to skip. Of five thousand tests side by side one may meet
# the turn of a minute or an election: what fails is run once more, and named in the last lines as RERUN, to be mended.
ifdef CI
export DBROSTER_REQUIRE = all
again = --reruns 1 -rR
endif

# What takes too long for every day, one path a line.
soaked = \
	tests/kill \
	tests/contract/test_any_state.py \
	tests/contract/test_archive.py \
	tests/contract/test_grace.py \
	tests/contract/test_invariants.py \
	tests/contract/test_perform.py \
	tests/e2e/test_archive.py \
	tests/e2e/test_command_line.py \
	tests/e2e/test_files.py \
	tests/e2e/test_first_hour.py \
	tests/e2e/test_guard.py \
	tests/e2e/test_passing_on.py \
	tests/e2e/test_witness.py \
	tests/engines/postgresql \
	tests/engines/clickhouse/test_cluster.py \
	tests/soak/fuzz_files.py \
	tests/soak/test_clickhouse_cluster.py \
	tests/soak/test_clickhouse_cluster_busy.py \
	tests/soak/test_clickhouse_cluster_killed.py \
	tests/soak/test_large_files.py

.PHONY: help setup demo test matrix soak sabotage proofs reference bench lint fmt check clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## install what tests and demo need (Debian packages, .venv, private MySQL and ClickHouse)
	@tools/setup.sh

demo: setup ## show dbroster at work on servers of its own, all five
	@$(python) -m demo $(ARGS)

test: setup ## run the tests on real servers
	@$(compiled)
	@$(python) -m pytest $(spread) $(again) $(ARGS)

matrix: setup ## run contract and engine tests on every version of every server; ARGS="postgresql-17 mariadb-11.8" for some
	@$(python) -m tools.matrix $(ARGS)

soak: setup ## run the long tests: killed at every moment, fuzzing, large files
	@$(python) -m pip install -q --disable-pip-version-check --group soak
	@DBROSTER_SOAK=1 $(python) -m pytest $(spread) $(soaked) $(ARGS)

sabotage: setup ## break dbroster on purpose in many ways, and see that tests notice
	@$(python) tools/sabotage.py $(ARGS)

proofs: setup ## write docs/proofs.md: which test proves what
	@$(python) tools/proofs.py

reference: setup ## write the tables of keys in docs/configuration.md, and docs/connections.schema.json
	@$(python) -m tools.reference

bench: setup ## measure side by side with raw scripts; writes docs/performance.md
	@.venv/bin/pip install --quiet --group bench
	@$(python) -m benchmarks $(ARGS)

lint: setup ## style, types and the borders between modules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@$(python) -m mypy --strict $(typed)
	@.venv/bin/lint-imports

fmt: setup ## let ruff mend style and layout
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

check: lint test ## what CI runs

clean: ## remove everything that setup and the tools have made
	@rm -rf .venv .cache .*_cache .import_linter_cache .hypothesis build dist src/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
