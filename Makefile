# Two commands matter: `make run` opens the demo survey in the browser, `make test` runs the tests.
# Everything lives in .venv; `make clean` removes it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock
SURVEY ?=
PORT ?= 5006

.PHONY: run test test-all check format bench docs lock clean

run: $(VENV)/.installed
	$(BIN)/python launch.py $(SURVEY) --port $(PORT) $(ARGS)

# One process a core for what needs no browser, then the browser alone: it must not wait for others. 5: nothing of ARGS is in that part.
test: $(VENV)/.installed-dev
	$(BIN)/python tests/chromium.py --install
	$(BIN)/python -m pytest -m "not slow and not browser" -n auto --dist loadfile $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m "browser and not slow" $(ARGS) || [ $$? -eq 5 ]

test-all: $(VENV)/.installed-dev
	$(BIN)/python tests/chromium.py --install
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/site

# The interpreter is checked first, so that an old one gives a sentence and not a traceback from the middle of an install.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Skysieve needs Python 3.11 or newer; name one with: make run PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "this Python has no ensurepip; install it (Debian, Ubuntu: apt-get install python3-venv) and try again"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements.lock
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e .[dev]
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) -e .[docs]
	@touch $@

lock: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --report $(VENV)/lock.json -e .[dev,docs]
	$(BIN)/python -c 'import json; \
	  found = {i["metadata"]["name"].lower().replace("_", "-"): i["metadata"]["version"].split("+")[0] \
	    for i in json.load(open("$(VENV)/lock.json"))["install"]}; found.pop("skysieve", None); \
	  head = [line for line in open("requirements.lock") if line.startswith("#")]; \
	  open("requirements.lock", "w").write("".join(head) + "".join(f"{n}=={v}\n" for n, v in sorted(found.items())))'

clean:
	rm -rf $(VENV)
