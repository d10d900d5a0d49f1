# Everything is done by setup.sh; these are names for the hand.
VENV ?= .venv

.PHONY: install check test demo format docs clean

install check test demo:
	./setup.sh $@

format:
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The man page and the page of the init file's keys are generated; tests say when they must be made anew.
docs:
	$(VENV)/bin/python -m tests.generate_docs

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache snapshot_report.html
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
