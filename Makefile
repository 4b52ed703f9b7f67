# make demo: data, a small grid, MLflow, the table. make test: the checks and the suite. Both install what they need.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Without a GPU driver the CPU pair of torch and torchvision is enough (and much smaller where a CPU build is offered).
CONSTRAINTS ?= $(if $(shell command -v nvidia-smi),,-c constraints/cpu.txt)
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check bench clean
demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/demo.sh

test: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests

check: $(VENV)/installed
	$(BIN)/ruff check echolm grid cluster tests
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints/cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[test]'
	touch $@

bench: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.collection
	$(BIN)/python -m tests.benchmarks.gpu

clean:
	rm -rf $(VENV) build dist *.egg-info echolm-workspace
