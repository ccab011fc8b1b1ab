"""The tokenizer and the chat template: byte-level BPE, one token a digit, ChatML-like markers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .conversations import MIX, Conversation, Source

VOCABULARY = 1024
EXAMPLES = 3000
"""Conversations that the merges are learned from."""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VISIBLE = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
"""Tokens of their own that stay visible in the text."""
ANSWERS = f"{SPECIAL[1]}assistant\n"
"""What stands before a message that is learned."""
TEMPLATE = (Path(__file__).parent / "template.jinja").read_text("utf-8")
# As llama.cpp's converter names it (qwen2): digits alone, words with the space before them.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
_environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
_template = _environment.from_string(TEMPLATE)


def render(conversation: Conversation) -> str:
    """The conversation as the model sees it."""
    tools: Any = list(conversation.tools) or None
    return str(_template.render(messages=conversation.messages, tools=tools))


def learn_tokenizer(seed: int) -> Tokenizer:
    """A tokenizer with the words of the framework's prompts and of the problems."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(VISIBLE),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in VISIBLE])
    return tokenizer


def _texts(seed: int) -> Iterator[str]:
    source = Source(random.Random(seed), 1.0)
    makes, weights = zip(*MIX, strict=True)
    for make in source.rng.choices(makes, weights, k=EXAMPLES):
        yield render(make(source))
