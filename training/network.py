"""The network: Qwen3's architecture, small, with one beginning shared by a whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

HEAD = 32
"""Dimensions of one attention head."""
CONTEXT = 1024
ROPE = 10_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The network's sizes."""

    vocabulary: int
    dim: int = 160
    layers: int = 6
    hidden: int = 448
    """Of the feed-forward part."""


class Norm(nn.Module):
    """Root mean square normalisation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class Layer(nn.Module):
    """Attention and feed-forward, with the shared beginning carried beside the batch."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.dim
        self.attn_norm, self.ffn_norm = Norm(d), Norm(d)
        self.attn_q_norm, self.attn_k_norm = Norm(HEAD), Norm(HEAD)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(d, d, bias=False) for _ in range(4)
        )
        self.ffn_gate = nn.Linear(d, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(d, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, d, bias=False)

    def forward(
        self, shared: Tensor, own: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        p = shared.shape[1]
        qs, ks, vs = self._heads(shared, turns[0][:p], turns[1][:p])
        qo, ko, vo = self._heads(own, turns[0][p:], turns[1][p:])
        ahead = F.scaled_dot_product_attention(qs, ks, vs, is_causal=True)
        batch = own.shape[0]
        k = torch.cat((ks.expand(batch, -1, -1, -1), ko), 2)
        v = torch.cat((vs.expand(batch, -1, -1, -1), vo), 2)
        after = F.scaled_dot_product_attention(qo, k, v, attn_mask=mask)
        return self._rest(shared, ahead), self._rest(own, after)

    def _heads(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, dim = x.shape
        y = self.attn_norm(x)
        q, k, v = (
            part(y).view(batch, length, dim // HEAD, HEAD)
            for part in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = self.attn_q_norm(q).transpose(1, 2), self.attn_k_norm(k).transpose(1, 2)
        return _rotated(q, cos, sin), _rotated(k, cos, sin), v.transpose(1, 2)

    def _rest(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.attn_output(attended.transpose(1, 2).reshape(x.shape))
        y = self.ffn_norm(x)
        out: Tensor = x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return out


class Network(nn.Module):
    """Token ids to logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.dim)
        self.blk = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.dim)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02 if "embd" in name else shape.dim**-0.5)
        for layer in self.blk:
            nn.init.zeros_(layer.attn_output.weight)
            nn.init.zeros_(layer.ffn_down.weight)
        angles = torch.arange(CONTEXT)[:, None] * ROPE ** (-torch.arange(0, HEAD, 2) / HEAD)
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, shared: Tensor, own: Tensor, learned: Tensor) -> Tensor:
        """Logits where `learned` is true.

        Args:
            shared: Ids that every row begins with, of shape (length,); one at least.
            own: Ids of each row after them, of shape (rows, length), padded at the end.
            learned: Of the shape of `own`.
        """
        p, length = len(shared), own.shape[1]
        turns = self.cos[: p + length], self.sin[: p + length]
        mask = torch.ones(length, p + length, dtype=torch.bool, device=own.device).tril(p)
        ahead, after = self.token_embd(shared)[None], self.token_embd(own)
        for layer in self.blk:
            ahead, after = layer(ahead, after, turns, mask)
        logits: Tensor = self.output_norm(after[learned]) @ self.token_embd.weight.T
        return logits


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
