"""The configuration of the language model: its sizes, checked when they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from ...core.errors import ArgumentError, ModelError
from .pattern import CodePattern, build_pattern

Pattern = Literal["delay", "parallel", "flattened"]


@dataclass(frozen=True, kw_only=True)
class AudioLMConfig:
    """Sizes and constants of an AudioLM; frozen, checked when built. config.json holds the same, flat.

    Args:
        num_codebooks: K.
        codebook_size: V; token V is the special one that fills places without a code.
        dim: d, width of the model; even, a multiple of `num_heads`.
        num_layers, num_heads: of the transformer.
        ffn_dim: width of the feed-forward part, default 4 d.
        text_dim: D, width of the text encoder's states. In training that of the text encoder is taken.
        pattern: "delay", "parallel" or "flattened".
        delays: frames that each codebook comes late (only "delay"; default 0..K-1).
        dropout: chance that an element of a sub-layer's output is dropped in training.
        token_dropout: chance that some of the codes that an item is fed are hidden in training, so that the
            text is what is left to go by (see token_dropout.py).
        bias_attention, bias_ffn, bias_heads: whether those Linear modules have biases.
        infill_frames: frames of the longest gap that the model is trained to fill (see infill.py); a longer
            one is told to it as one of this length. 0: it only continues, and has no weights for gaps.

    Raises:
        ArgumentError: sizes that are out of range or do not fit together; the message names value and limits.
    """

    num_codebooks: int = 4
    codebook_size: int = 1024
    dim: int = 384
    num_layers: int = 8
    num_heads: int = 6
    ffn_dim: int | None = None
    text_dim: int = 256
    pattern: Pattern = "delay"
    delays: tuple[int, ...] | None = None
    dropout: float = 0.0
    token_dropout: float = 0.0
    bias_attention: bool = False
    bias_ffn: bool = False
    bias_heads: bool = False
    infill_frames: int = 0

    def __post_init__(self) -> None:
        if self.delays is not None:  # JSON and YAML know lists only
            object.__setattr__(self, "delays", tuple(self.delays))
        for name in ("num_codebooks", "codebook_size", "dim", "num_layers", "num_heads", "text_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{name} is {value!r}; it must be a whole number of 1 or more")
        if self.ffn_dim is not None and self.ffn_dim < 1:
            raise ArgumentError(f"ffn_dim is {self.ffn_dim}; it must be 1 or more, or null for 4 dim")
        if self.dim % 2 or self.dim % self.num_heads:
            raise ArgumentError(
                f"dim is {self.dim}; it must be even and a multiple of num_heads ({self.num_heads})"
            )
        if self.infill_frames < 0:
            raise ArgumentError(f"infill_frames is {self.infill_frames}; it must be 0 or more")
        if not 0.0 <= self.dropout < 1.0:
            raise ArgumentError(f"dropout is {self.dropout}; allowed are 0 to 1 (1 excluded)")
        if not 0.0 <= self.token_dropout <= 1.0:
            raise ArgumentError(f"token_dropout is {self.token_dropout}; allowed are 0 to 1")
        try:
            self.code_pattern()
        except ValueError as error:
            raise ArgumentError(str(error)) from error

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> Self:
        """The configuration in a config.json; keys that begin with "_" are diffusers' own.

        Args:
            content: of the file.
            where: its name, for messages.

        Raises:
            ModelError: a setting is not known, or not allowed; the message names file and setting.
        """
        settings = {key: value for key, value in content.items() if not key.startswith("_")}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(settings.keys() - known):
            raise ModelError(
                f"{where} has settings that no language model here knows: {', '.join(unknown)} (known: "
                f"{', '.join(sorted(known))}); a newer soundloom may know them"
            )
        try:
            return cls(**settings)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{where}: {error}") from error

    @property
    def feed_forward_dim(self) -> int:
        """Width of the feed-forward part."""
        return 4 * self.dim if self.ffn_dim is None else self.ffn_dim

    def code_pattern(self) -> CodePattern:
        """How the codes are laid out in steps."""
        return build_pattern(self.pattern, self.num_codebooks, self.delays)
