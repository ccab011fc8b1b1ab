"""Trains the embedded model. Seeded, budgeted in steps, and resumable: run it again to go on.

    python -m training.train --out FOLDER --steps 6000

The folder gets `tokenizer.json`, `checkpoint.pt` and `log.jsonl`. A step's batch depends on the
seed and the step alone, so that a run that was interrupted sees what it would have seen.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from tokenizers import Tokenizer
from torch import Tensor

from .conversations import MIX, Source
from .network import Network, Shape
from .own import Own, read_own
from .text import ANSWERS, SPECIAL, learn_tokenizer, render

TOKENS = 1500
"""Of one batch, its shared beginning not counted."""
RATE = 4e-3
WARM = 40
"""Steps until the learning rate is whole."""
FLAT = 0.4
"""Share of the steps before it falls."""
LEAST = 0.02
"""Of the whole rate, at the end."""
EVERY = 100
"""Steps from one line of the log, and one checkpoint, to the next."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's examples, all of one kind: the beginning they share, and the rest of each."""

    shared: Tensor
    own: Tensor
    targets: Tensor
    learned: Tensor
    tokens: int


def batch_of(tokenizer: Tokenizer, seed: int, step: int, progress: float, own: Own) -> Batch:
    """The batch of a step."""
    rng = random.Random(f"{seed} {step}")
    makes, weights = zip(*MIX, strict=True)
    make = rng.choices(makes, weights)[0]
    source = Source(rng, progress, own.replies, own.rates)
    rows: list[list[int]] = []
    while True:
        texts = [render(make(source)) for _ in range(8)]
        rows += [encoded.ids for encoded in tokenizer.encode_batch(texts)]
        beginning = _common(rows)
        longest = max(map(len, rows)) - beginning
        if longest * len(rows) >= TOKENS:
            break
    shared = rows[0][:beginning]
    width = longest
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    learned = torch.zeros(len(rows), width, dtype=torch.bool)
    markers = tokenizer.encode(ANSWERS).ids, tokenizer.token_to_id(SPECIAL[2])
    for place, row in enumerate(rows):
        rest = row[beginning:]
        ids[place, : len(rest)] = torch.tensor(rest)
        for index in _answers(row, *markers):
            learned[place, index - beginning] = True
    return Batch(torch.tensor(shared), ids[:, :-1], ids[:, 1:], learned[:, 1:], sum(map(len, rows)))


def _common(rows: list[list[int]]) -> int:
    """How many ids all rows begin with; some are left to each row."""
    shortest = min(map(len, rows)) - 2
    first = rows[0]
    for place in range(shortest):
        if any(row[place] != first[place] for row in rows):
            return max(1, place - 1)
    return shortest


def _answers(row: list[int], before: list[int], end: int) -> Iterator[int]:
    """Places of what the assistant says, the end marker included."""
    place = 0
    while place < len(row):
        if row[place : place + len(before)] == before:
            place += len(before)
            while row[place] != end:
                yield place
                place += 1
            yield place
        place += 1


def rate_at(progress: float, step: int) -> float:
    """The learning rate."""
    falling = 1.0 if progress < FLAT else max(LEAST, (1 - progress) / (1 - FLAT))
    return RATE * min(1, (step + 1) / WARM) * falling


def optimizers_of(network: Network) -> list[torch.optim.Optimizer]:
    """Muon for the matrices (Jordan et al., 2024), AdamW for the rest."""
    named = list(network.named_parameters())
    inner = [w for name, w in named if w.dim() == 2 and "embd" not in name]
    rest = [w for name, w in named if w.dim() != 2 or "embd" in name]
    muon = torch.optim.Muon(inner, lr=RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0)]


def train(folder: Path, steps: int, seed: int, stop: int, samples: Path | None) -> None:
    """Train up to step `stop` of `steps`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "tokenizer.json"
    if not vocabulary.exists():
        learn_tokenizer(seed).save(str(vocabulary))
    tokenizer = Tokenizer.from_file(str(vocabulary))
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # Numbers next to nothing make a CPU a hundred times slower.
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(Shape(tokenizer.get_vocab_size())).to(device)
    optimizers = optimizers_of(network)
    kept: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "loss": None}
    if (folder / "checkpoint.pt").exists():
        saved = torch.load(folder / "checkpoint.pt", weights_only=True)
        network.load_state_dict(saved["network"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        kept = saved["kept"]
    own = read_own(samples) if samples else Own()
    started = time.monotonic() - kept["seconds"]
    with (folder / "log.jsonl").open("a") as log:
        for step in range(kept["step"], min(stop, steps)):
            progress = step / steps
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate_at(progress, step)
            batch = batch_of(tokenizer, seed, step, progress, own)
            learned = batch.learned.to(device)
            logits = network(batch.shared.to(device), batch.own.to(device), learned)
            loss = F.cross_entropy(logits, batch.targets.to(device)[learned])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            now = loss.item()
            kept["loss"] = now if kept["loss"] is None else 0.98 * kept["loss"] + 0.02 * now
            kept["tokens"] += batch.tokens
            kept["step"] = step + 1
            if (step + 1) % EVERY == 0:
                kept["seconds"] = time.monotonic() - started
                log.write(json.dumps({**kept, "rate": rate_at(progress, step)}) + "\n")
                log.flush()
                _save(folder / "checkpoint.pt", network, optimizers, kept)
    _save(folder / "checkpoint.pt", network, optimizers, kept)


def _save(
    path: Path, network: Network, optimizers: list[torch.optim.Optimizer], kept: dict[str, Any]
) -> None:
    """Whole or not at all."""
    states = [optimizer.state_dict() for optimizer in optimizers]
    new = path.with_suffix(".new")
    torch.save({"network": network.state_dict(), "optimizers": states, "kept": kept}, new)
    os.replace(new, path)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True, help="of the whole training")
    parser.add_argument("--stop", type=int, help="end after this step, to go on later")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=Path, help="the model's own replies, from training.own")
    arguments = parser.parse_args()
    stop = arguments.steps if arguments.stop is None else arguments.stop
    train(arguments.out, arguments.steps, arguments.seed, stop, arguments.samples)


if __name__ == "__main__":
    main()
