# Two commands set everything up on a fresh machine that has Python 3.11 or newer and make:
#
#   make demo    builds .venv, fetches SmolLM2-135M, trains a prefix, prints texts before and after
#   make test    adds the development tools and runs everything that CI runs
#   make docs    builds the documentation site into site/
#   make fuzz    loads 20,000 damaged prompt folders, recipes, data files and pictures, in about 15 minutes
#
# Without make (Windows):
#
#   py -m venv .venv
#   .venv\Scripts\pip install -c constraints.txt -e .[train,metrics,plots]          (or -e .[dev])
#   .venv\Scripts\softprompt demo

PYTHON ?= python3
VENV := .venv

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

# stamps: an install is repeated only when what it was made from has changed
RUNTIME := $(VENV)/.runtime-installed
STUDIES := $(VENV)/.studies-installed
SITE := $(VENV)/.site-installed
DEV := $(VENV)/.dev-installed
ECOSYSTEM := $(VENV)/.ecosystem-installed

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint docs reports notebooks package install install-dev clean

help:
	@echo "make demo     set up .venv and run the demonstration"
	@echo "make test     set up .venv and run every check of CI"
	@echo "make fuzz     load 20,000 damaged files, and print what came of them"
	@echo "make lint     the checks without the tests"
	@echo "make docs     build the documentation site into site/"
	@echo "make reports  build the pages, LaTeX tables and figures of the kept results"
	@echo "make notebooks  run the notebooks on a tiny random backbone"
	@echo "make package  build the wheel and the source archive into dist/, and check them"
	@echo "make clean    remove .venv (fetched backbones and runs stay)"

demo: $(RUNTIME)
	$(BIN)/softprompt demo

# one thread in each of two processes: twice as fast on two cores as two threads in one; a process keeps the
# tests of one file together, whose fixtures are then made once, until the other has none left
test: export OMP_NUM_THREADS := 1
test: lint $(ECOSYSTEM)
	$(BIN)/softprompt backbones pull smollm2-135m
	$(BIN)/pytest -q -n 2 --dist worksteal

fuzz: $(DEV)
	$(BIN)/python tools/fuzz.py $(FUZZ)

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/pyright

docs: $(SITE)
	$(BIN)/python tools/build_site.py

reports: $(STUDIES)
	$(BIN)/python tools/docs.py

notebooks: $(DEV)
	$(BIN)/pytest -q -m slow tests/docs/test_notebooks.py

package: $(DEV)
	$(BIN)/python tools/package.py

install: $(RUNTIME)

install-dev: $(DEV)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "$(PYTHON) is missing or older than Python 3.11: name a newer one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[train,metrics,plots]"
	@echo done > $@

$(STUDIES): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all]"
	@echo done > $@
	@echo done > $(RUNTIME)

$(SITE): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all,docs]"
	@echo done > $@
	@echo done > $(STUDIES)
	@echo done > $(RUNTIME)

$(DEV): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@echo done > $@
	@echo done > $(SITE)
	@echo done > $(STUDIES)
	@echo done > $(RUNTIME)

# the libraries of tests/ecosystem; without them those tests are skipped by name
$(ECOSYSTEM): pyproject.toml constraints.txt | $(DEV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[ecosystem]"
	@echo done > $@

clean:
	rm -rf $(VENV)
