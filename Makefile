# Two commands on a bare machine with Python 3.11 or newer: `make demo`, `make test`.

PYTHON ?= python3
BIN := .venv/bin
# The platforms where the embedded model's package has wheels; elsewhere set EXTRAS=dev,e2b,mcp.
EXTRAS ?= demo,dev,e2b,mcp

.PHONY: demo test lint bench train clean

demo: .venv/installed
	@$(BIN)/mull demo

test: lint
	$(BIN)/pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p mull
	$(BIN)/mypy tests benchmarks training examples
	$(BIN)/lint-imports

bench: .venv/installed
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/cancel.py
	$(BIN)/python benchmarks/early_exit.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/batch_kills.py --questions 100 --kills 2
	$(BIN)/python benchmarks/batch_memory.py --lines 300 1000
	$(BIN)/python benchmarks/script_kills.py --kills 2
	$(BIN)/python benchmarks/thread_size.py
	$(BIN)/python benchmarks/stopping.py
	$(BIN)/python benchmarks/depths.py

# Trains the embedded model anew: 45 minutes on two cores. Interrupted, it goes on where it was. Twice
# it learns from its own replies.
TRAINING := build/demo-model
TRAIN := $(BIN)/python -m training.train --out $(TRAINING) --steps 5600
EXPORT := $(BIN)/python -m training.export --run $(TRAINING) --out
OWN := $(BIN)/python -m training.own --model
train: .venv/installed
	$(BIN)/python -m pip install --quiet '.[train]'
	$(TRAIN) --stop 2600
	$(EXPORT) $(TRAINING)/half.gguf
	$(OWN) $(TRAINING)/half.gguf --out $(TRAINING)/half.jsonl
	$(TRAIN) --stop 4400 --samples $(TRAINING)/half.jsonl
	$(EXPORT) $(TRAINING)/late.gguf
	$(OWN) $(TRAINING)/late.gguf --out $(TRAINING)/late.jsonl --count 1200 --seed 11
	cat $(TRAINING)/half.jsonl $(TRAINING)/late.jsonl > $(TRAINING)/own.jsonl
	$(TRAIN) --samples $(TRAINING)/own.jsonl
	$(EXPORT) models/demo/model.gguf
	cp $(TRAINING)/log.jsonl training/log.jsonl

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml
	@echo "Setting up .venv (once; about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mull needs Python 3.11 or newer: make PYTHON=/path/to/it")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
