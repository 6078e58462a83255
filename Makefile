# make demo | test | test-slow | lint | format | bench | clean.  Paths are relative, so a checkout may lie in a folder with spaces.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLER ?= uv
# benchmarks that read rows of others from a folder, which is named on their command line
OF_ROWS := attainable|fit_posterior|left_out|pipelines|rereads

.PHONY: install demo test test-slow lint format bench clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt install.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "xray needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python install.py $(INSTALLER)
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib db xray flows || true  # on all cores.  Some are templates
	-$(BIN)/python -m xray.machine_code  # what can't be compiled now is compiled at its first call
	touch $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/xray demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 3 -m 'not slow'

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	missed=; for name in $$(ls benchmarks | sed -n 's/^\([a-z][a-z_]*\)\.py$$/\1/p' | grep -vxE '$(OF_ROWS)'); do \
	  $(BIN)/python -m benchmarks.$$name || missed="$$missed $$name"; done; \
	test -z "$$missed" || { echo "these did not reach what they ask for:$$missed"; exit 1; }

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build *.egg-info
