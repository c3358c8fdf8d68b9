# `make demo` and `make test` need only Python 3.10+ and a C compiler; both make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
FUZZ_SECONDS ?= 60
EXTRAS := modelscope,train,eval,onnx,openvino,live,media,serve,dev

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all train-smoke fuzz lint wheel locks clean
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "frcrn needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)

# The stamps make installing happen once per change of what is to be installed.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt -e ".[eval,serve]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/frcrn demo -o demo

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Four files in a process: what C code of one does to it is few others' matter, and torch is not loaded for each.
PYTEST := printf '%s\n' tests/test_*.py | xargs -P $(WORKERS) -n 4 $(BIN)/pytest -q
test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m ""

train-smoke: $(VENV)/.test
	$(BIN)/python -m benchmarks.train_smoke

$(VENV)/.wheel: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt build twine check-wheel-contents cyclonedx-bom
	@touch $@

# Both wheels, with the C inside where there is a compiler; the first is made from the source archive, as others would.
# Beside each, the list of what it is used with in the images (CycloneDX).
wheel: $(VENV)/.wheel
	rm -rf build dist runtime/build
	$(BIN)/python -m build -o dist
	$(BIN)/python -m build -o dist --wheel runtime
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m check_wheel_contents dist/*.whl
	$(BIN)/python -m cyclonedx_py requirements --pyproject runtime/pyproject.toml --of JSON -o dist/frcrn-runtime.cdx.json docker/runtime.lock
	$(BIN)/python -m cyclonedx_py requirements --pyproject pyproject.toml --of JSON -o dist/frcrn.cdx.json docker/training.lock

# The exact versions in the images, with hashes; needs uv.
LOCK := uv pip compile -q --generate-hashes --no-header -c constraints.txt
locks:
	$(LOCK) runtime/pyproject.toml --universal --python-version 3.10 -o docker/runtime.lock
	$(LOCK) pyproject.toml --extra train --extra eval --extra onnx --python-version 3.11 \
		--python-platform x86_64-unknown-linux-gnu -o docker/training.lock

# The first needs clang, the last atheris, which there is not for every Python. What is found is kept in build/fuzz/found.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.readers $(FUZZ_SECONDS)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q -c constraints.txt atheris || true
	$(BIN)/python -m tests.fuzz.guided $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) build dist runtime/build demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
