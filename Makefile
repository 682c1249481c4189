# Three test processes, on two processors too: most tests wait for processes that they started.
IN_PARALLEL = -n 3
# Tests start a thousand commands and agents; each would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test quick check fuzz sbom docs bench clean

help:
	@echo "make demo   brings up a whole prefill/decode cluster on this machine and shows what it can do"
	@echo "make setup  prepares .venv; the other targets do it themselves"
	@echo "make test   checks style and types and runs all tests: about six minutes on two processors"
	@echo "make quick  runs only the tests that start no process: less than a minute"
	@echo "make check  checks only style and types"
	@echo "make fuzz   feeds a million damaged inputs to all that reads what others wrote: about ten minutes"
	@echo "make sbom   lists what an installation consists of (CycloneDX), and asks for vulnerabilities"
	@echo "make bench  compares pdsup with its peers, which it fetches: about ten minutes"
	@echo "make docs   regenerates the generated pages of docs/reference, and the manual page"
	@echo "make clean  removes everything that the other targets made"

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

# FUZZ: how many inputs, and the number that they are made from: FUZZ="1000 7".
fuzz: setup
	@.venv/bin/python -m tests.fuzz $(FUZZ)

sbom:
	@.ci/sbom

docs: setup
	.venv/bin/python docs/reference/generate.py

bench: setup
	@bench/setup
	@.venv/bin/python -m bench $(BENCH)

clean:
	rm -rf .venv .bench .fuzz .release .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist runs *.egg-info supervisor/*.egg-info
