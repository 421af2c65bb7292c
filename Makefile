# GNU make, any POSIX shell. Every path is relative, so that the checkout may lie in a folder with spaces in its name.
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help book slides class site pdf check test lint bench dist archives lab clean

PY := .venv/bin/python
READY := .venv/.installed
# The first Python of these that is new enough and can make virtual environments; `make PYTHON=...` comes first.
CANDIDATES = "$(PYTHON)" python3.13 python3.12 python3.11 python3 python
USABLE = import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON = for p in $(CANDIDATES); do "$$p" -c "$(USABLE)" >/dev/null 2>&1 && { command -v "$$p"; break; }; done
HAVE_VENV = $(PY) -c "import pip" >/dev/null 2>&1
NO_PYTHON = pigmm needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv); name one with make PYTHON=/path/to/python
# A digest of everything the book is made from: names and contents, so that it also sees a file that is gone.
SOURCES = Makefile _config.yml _toc.yml book constraints.txt notebooks pigmm pyproject.toml
DIGEST = find $(SOURCES) -type f ! -path '*/__pycache__/*' ! -path '*/.ipynb_checkpoints/*' -exec cksum {} + | LC_ALL=C sort | cksum

# One thread for each process: the work is many small matrices, and workers share it out by whole runs.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' Makefile | expand -t 12

book: $(READY) ## build the book, executing every notebook: _build/html/index.html
	@now=$$($(DIGEST)); \
	if [ -f _build/html/index.html ] && [ "$$now" = "$$(cat _build/.built 2>/dev/null)" ]; then \
	  echo "the book is up to date: open _build/html/index.html"; exit 0; \
	fi; \
	rm -rf _build/.built _build/.doctrees _build/html _build/jupyter_execute; \
	.venv/bin/jupyter-book build . -W -n --keep-going || { \
	  echo "the book was not built; the cause stands above (look for WARNING, ERROR or Traceback)" >&2; exit 2; \
	}; \
	printf '%s\n' "$$now" > _build/.built; \
	echo "the book is built: open _build/html/index.html"

slides: book ## the slides of every chapter, readable offline: _build/slides/index.html
	@$(PY) book/_make/slides.py

class: $(READY) ## notebooks for students and for teachers: _build/class/
	@$(PY) book/_make/class_kit.py

site: book slides class ## one archive of everything, to be unpacked and opened anywhere: _build/pigmm-site.zip
	@$(PY) book/_make/site.py

pdf: book ## the whole book as one PDF; needs a Chromium: _build/pigmm.pdf
	@$(PY) book/_make/pdf.py

check: site ## look at every built page and slide in a real browser; needs a Chromium
	@$(PY) -m pytest -q book/_checks

test: $(READY) ## unit tests, doctests and every notebook
	@$(PY) -m pytest --nbval-lax --nbval-current-env

lint: $(READY) ## ruff and mypy
	@$(PY) -m ruff check . && $(PY) -m mypy

bench: $(READY) ## speed beside the published scripts' way of doing it
	@$(PY) -m benchmarks

dist: $(READY) ## wheel and source archive: dist/
	@rm -rf dist
	@$(PY) -m build --outdir dist .

archives: $(READY) ## train the published archives again into archives/ (hours; make archives NAMES="digits" for some)
	@.venv/bin/pigmm reproduce $(NAMES)

lab: $(READY) ## open the notebooks in JupyterLab
	@$(PY) -m jupyterlab notebooks

clean: ## remove everything built, but keep .venv and your runs/
	@rm -rf _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

# Installed again only when what is asked for has changed.
$(READY): pyproject.toml constraints.txt
	@$(if $(shell $(HAVE_VENV) && echo yes || $(FIND_PYTHON)),:,$(error $(NO_PYTHON)))
	@$(HAVE_VENV) || { p=$$($(FIND_PYTHON)); echo "making .venv with $$p"; "$$p" -m venv .venv; }
	@echo "installing what pyproject.toml asks for (some minutes the first time)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
