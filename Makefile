.PHONY: help setup demo test check docs bench clean

help:
	@echo "make demo   brings a whole prefill/decode cluster up on this machine and shows what it can do"
	@echo "make test   style, types and all tests; sets itself up"
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
	.venv/bin/pytest

docs: setup
	.venv/bin/python docs/reference/generate.py

bench: setup
	@bench/setup
	@.venv/bin/python -m bench $(BENCH)

clean:
	rm -rf .venv .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist runs *.egg-info supervisor/*.egg-info
