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

# Trains the embedded model anew: half an hour on two cores. Interrupted, it goes on where it was.
TRAINING := build/demo-model
train: .venv/installed
	$(BIN)/python -m pip install --quiet '.[train]'
	$(BIN)/python -m training.train --out $(TRAINING) --steps 4400 --stop 2600
	$(BIN)/python -m training.export --run $(TRAINING) --out $(TRAINING)/half.gguf
	$(BIN)/python -m training.own --model $(TRAINING)/half.gguf --out $(TRAINING)/own.jsonl
	$(BIN)/python -m training.train --out $(TRAINING) --steps 4400 --samples $(TRAINING)/own.jsonl
	$(BIN)/python -m training.export --run $(TRAINING) --out models/demo/model.gguf
	cp $(TRAINING)/log.jsonl training/log.jsonl

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml
	@echo "Setting up .venv (once; about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mull needs Python 3.11 or newer: make PYTHON=/path/to/it")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
