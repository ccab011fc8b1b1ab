"""A checkpoint as GGUF, Q8_0: what llama.cpp loads.

python -m training.export --run FOLDER --out model.gguf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from .network import CONTEXT, HEAD, ROPE
from .text import SPECIAL, TEMPLATE

NAME = "mull-demo"
LICENCE = "apache-2.0"


def export(folder: Path, out: Path) -> None:
    """Write the file."""
    saved = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
    weights: dict[str, Any] = {k: v.float().numpy() for k, v in saved["network"].items()}
    writer = gguf.GGUFWriter(str(out), "qwen3")
    vocabulary, dim = weights["token_embd.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blk."))
    writer.add_name(NAME)
    writer.add_license(LICENCE)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(weights["blk.0.ffn_up.weight"].shape[0])
    writer.add_head_count(dim // HEAD)
    writer.add_head_count_kv(dim // HEAD)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(ROPE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _add_tokenizer(writer, folder / "tokenizer.json", vocabulary)
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, weight in weights.items():
        if weight.ndim == 1:
            writer.add_tensor(name, weight.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    count = sum(weight.size for weight in weights.values())
    print(f"{out}: {count:,} parameters, {out.stat().st_size:,} bytes")


def _add_tokenizer(writer: Any, path: Path, size: int) -> None:
    known = json.loads(path.read_text("utf-8"))
    tokens = [""] * size
    types = [gguf.TokenType.NORMAL] * size
    for text, place in known["model"]["vocab"].items():
        tokens[place] = text
    ids: dict[str, int] = {}
    for added in known["added_tokens"]:
        ids[added["content"]] = place = added["id"]
        tokens[place] = added["content"]
        types[place] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in known["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids[SPECIAL[0]])
    writer.add_pad_token_id(ids[SPECIAL[0]])
    writer.add_eos_token_id(ids[SPECIAL[2]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    export(arguments.run, arguments.out)


if __name__ == "__main__":
    main()
