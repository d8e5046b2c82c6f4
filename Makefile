# Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
# The real TensorRT 8.6.0 wants CPython 3.10, so that it lives apart; where it is complete, the tests use it.
TENSORRT86 := .venv-tensorrt86
export SIGNOFF_TENSORRT86_PYTHON ?= $(if $(wildcard $(TENSORRT86)/.installed),$(abspath $(TENSORRT86)/bin/python))

.PHONY: demo test lint format clean pycuda tensorrt86

demo: $(VENV)/.installed-run
	$(BIN)/signoff-demo --out $(OUT)

test: lint $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=benchmarks $(BIN)/mypy -p peers
	MYPYPATH=benchmarks $(BIN)/mypy benchmarks/*.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Both let tests run that are skipped without them; `make test` needs neither.
pycuda: $(VENV)/.installed-pycuda

tensorrt86: $(TENSORRT86)/.installed

clean:
	rm -rf $(VENV) $(TENSORRT86) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.exit("Python 3.10 to 3.13 is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed-run: $(BIN)/python setup.cfg pyproject.toml
	@echo 'installing into $(VENV): a few minutes, about 6 GB'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[workstation,cpu,rtx]'
	touch $@

$(VENV)/.installed-dev: $(BIN)/python setup.cfg pyproject.toml
	@echo 'installing into $(VENV): a few minutes, about 6 GB'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[workstation,cpu,rtx,dev]'
	touch $@ $(VENV)/.installed-run

$(VENV)/.installed-pycuda: tests/engines/pycuda.sh | $(VENV)/.installed-dev
	@echo 'compiling PyCUDA for $(VENV): a few minutes'
	tests/engines/pycuda.sh $(BIN)/python
	touch $@

$(TENSORRT86)/.installed: tests/engines/tensorrt86.sh
	@echo 'installing into $(TENSORRT86): a minute, 1.3 GB'
	tests/engines/tensorrt86.sh $(TENSORRT86)
	touch $@
