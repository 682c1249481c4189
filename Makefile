# Two processes of tests, even where there are more processors: some tests bring whole clusters up.
IN_PARALLEL = -n 2

.PHONY: help setup demo test quick check docs bench clean

help:
	@echo "make demo   brings a whole prefill/decode cluster up on this machine and shows what it can do"
	@echo "make test   style, types and all tests, in about six minutes on two processors; sets itself up"
	@echo "make quick  only the tests that start no process, in less than a minute"
	@echo "make check  style and types only"
	@echo "make bench  measures it beside its peers, which it fetches, in about ten minutes"
	@echo "make docs   writes the generated pages of docs/reference again"
	@echo "make clean  removes what the others made"

demo:
	@.ci/setup router
	@.venv/bin/python docs/tutorial/demo.py

setup:
	@.ci/setup router,dev

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict -p pdsup -p bench

test: check
	.venv/bin/pytest -q $(IN_PARALLEL) --durations=15

quick: setup
	.venv/bin/pytest -q $(IN_PARALLEL) -m "not processes"

docs: setup
	.venv/bin/python docs/reference/generate.py

bench: setup
	@bench/setup
	@.venv/bin/python -m bench $(BENCH)

clean:
	rm -rf .venv .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist runs *.egg-info supervisor/*.egg-info
