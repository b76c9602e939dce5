"""Sizes of vocabularies in use: ln of one of them is what a blind guess costs."""

from __future__ import annotations

SMALLEST_VOCABULARY = 32_000
"""Assumed where the vocabulary is unknown: the smallest in common use (Llama 2, Mistral 7B)."""

LARGEST_VOCABULARY = 262_144
"""The largest in common use (Gemma 3). A loss above its ln is summed, not averaged, or no
likelihood at all: its level says nothing."""

PUBLISHED_VOCABULARIES = (
    *(32_000, 32_064, 49_152, 50_257, 50_304, 64_000, 65_024, 100_352, 102_400, 128_256),
    *(129_280, 130_528, 131_072, 151_936, 152_064, 200_064, 201_088, 248_320, 250_880, 256_000),
    LARGEST_VOCABULARY,
)
"""Tokens of published models' output layers, from Llama 2 and Mistral to Qwen, gpt-oss and Gemma:
ln of one of them is the loss of a blind guess."""
