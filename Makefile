# `make demo` and `make test` need only Python 3.10+ and a C compiler; both make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
EXTRAS := modelscope,train,eval,onnx,openvino,live,dev

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all train-smoke lint clean
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

# The pages' programs use what the ones before them have made, so they run one after the other in a process of their own.
test: lint
	$(BIN)/pytest -n $(WORKERS) --ignore tests/test_docs.py
	$(BIN)/pytest tests/test_docs.py

test-all: lint
	$(BIN)/pytest -n $(WORKERS) --ignore tests/test_docs.py -m ""
	$(BIN)/pytest tests/test_docs.py -m ""

train-smoke: $(VENV)/.test
	$(BIN)/python -m benchmarks.train_smoke

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
