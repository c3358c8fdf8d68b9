# `make demo` and `make test` need only Python 3.10+ and a C compiler; both make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
FUZZ_SECONDS ?= 60
EXTRAS := modelscope,train,eval,onnx,openvino,live,media,dev

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all train-smoke fuzz lint clean
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "frcrn needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)

# The stamps make installing happen once per change of what is to be installed.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt -e ".[eval]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/frcrn demo -o demo

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Each file in a process of its own: what C code of one test does to a process is no other's matter.
test: lint
	printf '%s\n' tests/test_*.py | xargs -P $(WORKERS) -n 1 $(BIN)/pytest -q

test-all: lint
	printf '%s\n' tests/test_*.py | xargs -P $(WORKERS) -n 1 $(BIN)/pytest -q -m ""

train-smoke: $(VENV)/.test
	$(BIN)/python -m benchmarks.train_smoke

# Needs clang. What is found is kept in build/fuzz/found.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
