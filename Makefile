# make demo: data, a small grid, MLflow, the table. make test: the checks and the suite. Both install what they need.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Without a GPU driver the CPU pair of torch and torchvision is enough (and much smaller where a CPU build is offered).
CONSTRAINTS ?= $(if $(shell command -v nvidia-smi),,-c constraints/cpu.txt)
WORKERS ?= 5
export OMP_NUM_THREADS ?= 1
# Some images forbid compiled files. Every process of the suite would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-cluster soak check collected bench clean
demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/demo.sh

test: $(VENV)/installed
	@$(MAKE) --no-print-directory -j 2 check collected
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 20 tests

# The real SLURM and Ray, with more faults than make test: installs slurm-wlm, munge and MariaDB from Debian, as root.
test-cluster: $(VENV)/installed
	@$(BIN)/python -m tests.slurm.lab needs
	ECHOLM_TEST_SYSTEM=1 ECHOLM_FAULTS=25 $(BIN)/python -m pytest -v --timeout 2400 $(wildcard tests/slurm tests/ray)

# Hours of faults against a grid on that SLURM; type it again and it goes on. FAULTS and SEED may be given.
soak: $(VENV)/installed
	$(BIN)/python -m tests.slurm.soak --faults $(or $(FAULTS),100) --seed $(or $(SEED),0)

check: $(VENV)/installed
	$(BIN)/ruff check echolm grid cluster tests
	$(BIN)/ruff format --check --quiet echolm grid cluster tests examples
	$(BIN)/mypy

# While mypy has one core: else every process of the suite would compile every test. What fails here is told by the suite.
collected: $(VENV)/installed
	-@$(BIN)/python -m pytest --collect-only -qq tests > /dev/null 2>&1

$(VENV)/installed: pyproject.toml constraints/cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[test]'
	touch $@

bench: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.collection
	$(BIN)/python -m tests.benchmarks.start_up
	$(BIN)/python -m tests.benchmarks.steps
	$(BIN)/python -m tests.benchmarks.gpu
	$(BIN)/python -m tests.benchmarks.checkpoints
	$(BIN)/python -m tests.benchmarks.phases
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/python -m tests.benchmarks.slurm; \
	else echo "not measured: SLURM (it installs and starts one); as root: $(BIN)/python -m tests.benchmarks.slurm"; fi

clean:
	rm -rf $(VENV) build dist *.egg-info echolm-workspace
