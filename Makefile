# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
ENGINE ?= local
BIN := .venv/bin

.PHONY: demo test lint types docs bench clean

demo: .venv/engine-$(ENGINE)
	test -f demo/lakemill.yml || $(BIN)/lakemill init demo --template demand
	cd demo && ../$(BIN)/lakemill run demand $(if $(filter-out local,$(ENGINE)),--engine $(ENGINE))

test: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --require=local,ray,spark,postgres

docs: .venv/dev
	$(BIN)/pip install --quiet --group docs
	$(BIN)/mkdocs build --strict

bench: .venv/dev
	$(BIN)/python -m benchmarks

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/engine-local: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/engine-%: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[$*]'
	touch $@

# torch first, by pip alone and exactly this version: that takes a small CPU build where one is at hand. Any other way
# may pull gigabytes.
.venv/dev: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[all]' --group dev
	touch $@ .venv/engine-local .venv/engine-ray .venv/engine-spark

clean:
	rm -rf .venv build demo dist site
