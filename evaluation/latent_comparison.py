"""Compare Music2Latent2 models, and their ways of decoding: `soundloom compare-latents`.

Every model decodes in one step, by the two-step procedure and
autoregressively in several steps; "1 step" is the autoregressive procedure with one network pass a chunk, of
which the two-step procedure refines the result. All rows hear the same sounds, and sound i has the noise of
seed + i. Latents are continuous, also of a model that has codes: `soundloom evaluate --codec` measures those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..codecs.base import Codec
from ..codecs.music2latent2 import Music2Latent2
from ..codecs.music2latent2.music2latent2_config import Decoding
from ..codecs.registry import load_codec
from ..core.progress import Progress
from .codec_table import ZEROED, figures_table, read_once, shifted, without_network
from .embedders import Embedder, NamedClassifier
from .evaluate_sounds import Example, evaluate_codec

HELD_OUT = "held-out renderings"


def way_name(steps: int | None) -> str:
    """What a row calls a way of decoding: network passes, autoregressively; None: the two-step procedure."""
    if steps is None:
        return "two-step"
    return f"{steps} step{'s' if steps > 1 else ''}"


class DecodingWay(Codec):
    """A Music2Latent2 that decodes in one way; its n-th sound gets the noise of `seed + n`.

    Args:
        model: the model.
        steps: network passes a chunk, autoregressively; None: the two-step procedure.
        seed: of the first sound.
    """

    def __init__(self, model: Music2Latent2, steps: int | None, *, seed: int = 0) -> None:
        super().__init__()
        self.model, self.steps = model, steps
        self.seeds = itertools.count(seed)

    @property
    def sample_rate(self) -> int:
        return self.model.sample_rate

    @property
    def channels(self) -> int:
        return self.model.channels

    @property
    def frame_rate(self) -> float:
        return self.model.frame_rate

    @property
    def num_codebooks(self) -> int:
        """None: what is decoded are latents."""
        return 0

    @property
    def codebook_size(self) -> int:
        """As `num_codebooks`."""
        return 0

    @property
    def bitrate(self) -> float:
        """Of latents in half precision."""
        return values_per_second(self.model) * 16

    def encode(self, audio: Tensor) -> Tensor:
        """Latents, also of a model that has codes; see `Music2Latent2.encode`."""
        return self.model.encode(audio, discrete=False)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """See `Music2Latent2.decode`."""
        decoding: Decoding = "two_step" if self.steps is None else "autoregressive"
        return self.model.decode(codes, length, decoding=decoding, steps=self.steps, seed=next(self.seeds))


def decoding_ways(steps: Sequence[int]) -> list[int | None]:
    """One step, the two-step procedure (None), and further steps in ascending order."""
    return [1, None, *sorted(set(steps) - {1})]


def values_per_second(model: Music2Latent2) -> float:
    """Latent values for a second of sound."""
    return math.prod(model.latent_shape) * model.frame_rate


def compare_latents(
    models: dict[str, Music2Latent2],
    sets: dict[str, Sequence[Example]],
    classifier: NamedClassifier,
    *,
    embedder: Embedder | None = None,
    steps: Sequence[int] = (2, 4),
    zeroed: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Decode every set of sounds by every model in every way.

    Args:
        models: by the name that rows call them.
        sets: of sounds, by name.
        classifier: for what it names sounds, and for FAD unless `embedder` is given.
        embedder: for FAD; with YAMNet, sounds are also compared by its tags.
        steps: network passes of the autoregressive ways beside 1; the two-step procedure is always there.
        zeroed: a row more for each model, decoded in one step without its consistency network; see
            `codec_table.without_network`.
        seed: of the noise of each set's first sound.
        progress: called with the number of sounds decoded and to decode.

    Returns:
        A row for each set, model and way: what the model is, and `evaluate_codec`'s figures. Ctrl+C ends it
        with the row that it was at, whose "stopped" is true.
    """
    ways = [(way_name(way), way, False) for way in decoding_ways(steps)] + [(ZEROED, 1, True)] * zeroed
    total, place, rows = len(models) * len(ways) * sum(map(len, sets.values())), 0, []
    for group, examples in sets.items():
        kept = read_once(examples)
        for name, model in models.items():
            for called, way, empty in ways:
                codec = DecodingWay(without_network(model) if empty else model, way, seed=seed)
                step = shifted(progress, place, total)
                report = evaluate_codec(codec, kept, classifier, embedder=embedder, progress=step)
                rows.append({"set": group, "model": name, "decoding": called, **_about(model), **report})
                if report["stopped"]:
                    return rows
                place += len(kept)
    return rows


def _about(model: Music2Latent2) -> dict[str, Any]:
    count, size = model.latent_shape
    return {
        "layout": model.settings.layout,
        "latents": f"{count} x {size}",
        "values_per_second": values_per_second(model),
        "compression": model.settings.compression,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of `compare_latents` as Markdown: a table for each set."""
    parts = []
    for group in dict.fromkeys(row["set"] for row in rows):
        chosen = [([row["model"], row["decoding"]], row) for row in rows if row["set"] == group]
        made = figures_table(["model", "decoding"], chosen)
        parts.append(f"{group}, {chosen[0][1]['sounds']} sounds:\n\n{made}")
    return "\n\n".join(parts)


def load_models(names: Sequence[str]) -> dict[str, Music2Latent2]:
    """Load models by folder, bundled name or hub id.

    Raises:
        ValueError: a codec of another kind, or the same name twice.
    """
    models: dict[str, Music2Latent2] = {}
    for name in names:
        if name in models:
            raise ValueError(f"{name} is there twice; name each model once")
        codec = load_codec(name)
        if not isinstance(codec, Music2Latent2):
            raise ValueError(
                f"{name} is a {type(codec).__name__}; a Music2Latent2 or CoDiCodec is wanted here, "
                "soundloom evaluate --codec measures any codec"
            )
        models[name] = codec
    return models
