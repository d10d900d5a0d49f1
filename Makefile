# Everything is done by setup.sh; these are names for the hand.
VENV ?= .venv

.PHONY: install check test demo format man clean

install check test demo:
	./setup.sh $@

format:
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The man page is made from the parsers; a test says when it must be made anew.
man:
	$(VENV)/bin/python -m tests.generate_man docs/lagotui.1

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache snapshot_report.html
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
