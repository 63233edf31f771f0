"""Models in plain torch whose figures are known from elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Causal self-attention: fused, or by hand with dropout on the scores."""

    def __init__(self, hidden: int, heads: int, *, dropout: float, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        b, s, h = x.shape
        q, k, v = (t.view(b, s, self.heads, -1).transpose(1, 2) for t in self.qkv(x).split(h, -1))
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mixed = self.drop((q @ k.transpose(-1, -2) * (h // self.heads) ** -0.5).softmax(-1)) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, s, h))


class Block(nn.Module):
    def __init__(self, hidden: int, heads: int, *, dropout: float, fused: bool) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads, dropout=dropout, fused=fused)
        self.wide = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.drop(self.attention(self.first(x)))
        return x + self.drop(self.wide(self.second(x)))


class GPT(nn.Module):
    """Radford et al. (2019), GPT-2: embedding and head share their weight."""

    def __init__(self, layers, hidden, *, heads, sequence, vocabulary, dropout=0.0, fused=True) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, hidden), nn.Embedding(sequence, hidden)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden, heads, dropout=dropout, fused=fused) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.drop(self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class RootMeanSquare(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x):
        return x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt() * self.weight


def turned(x, angles):
    """Rotate pairs of numbers by their place's angles."""
    real, imaginary = x.chunk(2, -1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)


class LlamaBlock(nn.Module):
    def __init__(self, hidden: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = RootMeanSquare(hidden), RootMeanSquare(hidden)
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(hidden, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(self, x, angles):
        b, s, h = x.shape
        y = self.first(x)
        q, k, v = (f(y).view(b, s, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(turned(q, angles), turned(k, angles), v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(b, s, h))
        y = self.second(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """Touvron et al. (2023), Llama 2, arXiv:2307.09288."""

    def __init__(self, layers=32, hidden=4096, *, inner=11008, heads=32, vocabulary=32000) -> None:
        super().__init__()
        self.width = hidden // heads
        self.tokens = nn.Embedding(vocabulary, hidden)
        self.layers = nn.ModuleList(LlamaBlock(hidden, inner, heads) for _ in range(layers))
        self.norm, self.head = RootMeanSquare(hidden), nn.Linear(hidden, vocabulary, bias=False)

    def forward(self, tokens):
        x, places = self.tokens(tokens), torch.arange(tokens.shape[1], device=tokens.device)
        angles = torch.outer(places, 10000.0 ** (-torch.arange(0, self.width, 2, device=tokens.device) / self.width))
        for layer in self.layers:
            x = layer(x, angles)
        return self.head(self.norm(x))


def next_token(logits):
    """Cross-entropy in single precision; which token comes next does not matter."""
    targets = torch.zeros(logits.shape[:-1], dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
