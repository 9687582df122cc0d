"""Generated sounds: samples with the codes, seeds, prompts, scores and origin that belong to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ..core.audio import WRITE_FORMATS, Audio, check_destination, check_subtype
from ..core.loop_points import add_loop_points
from ..core.sound_description import samples_digest
from ..core.sound_tags import Tags
from .origin import Origin, Record, now, saved_settings
from .rerank import Scorer, best_rows

if TYPE_CHECKING:
    from .watermark import Watermark


@dataclass(eq=False)
class GeneratedAudio(Audio):
    """Generated sounds, one row for each prompt and variation, the variations of a prompt next to each other.

    Attributes:
        codes: int64 `[B, K, T]`, the codec's codes of the samples.
        seeds: one for each row; generating that row's prompt alone with it gives the same row, but where
            sums are rounded in another way beside others.
        prompts: one for each row.
        scores: what the scorer gave each row, higher is better; None unless there was one.
        loop: whether the end runs into the beginning; .wav files then say so.
        origin: how they were made; None: not known.
        rows: of the batch that was made, which rows these are; None: all.
        changes: what was done to the samples since, see `Record`.
    """

    codes: Tensor
    seeds: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    scores: list[float] | None = None
    loop: bool = False
    origin: Origin | None = None
    rows: list[int] | None = None
    changes: Mapping[str, float] = field(default_factory=dict)

    def take(self, rows: list[int], scores: list[float] | None = None) -> Self:
        """Only these rows, with their scores."""
        return replace(
            self,
            samples=self.samples[rows],
            codes=self.codes[rows],
            seeds=[self.seeds[row] for row in rows],
            prompts=[self.prompts[row] for row in rows],
            scores=scores,
            rows=[row if self.rows is None else self.rows[row] for row in rows],
        )

    def at_loudness(self, lufs: float) -> Self:
        return replace(super().at_loudness(lufs), changes={**self.changes, "loudness": lufs})

    def resampled(self, sample_rate: int) -> Self:
        return replace(super().resampled(sample_rate), changes={**self.changes, "sample_rate": sample_rate})

    def watermarked(self, watermark: Watermark) -> Self:
        """The same sounds with a watermark, see `Watermark.put`; tags are not enough to make them again."""
        samples = watermark.put(self.samples, self.sample_rate)
        return replace(self, samples=samples, changes={**self.changes, "watermark": 1})

    def save(
        self,
        path: str | os.PathLike[str],
        index: int = 0,
        force: bool = False,
        *,
        subtype: str | None = None,
        tags: Tags | None = None,
        metadata: bool = True,
    ) -> Path:
        """Write one sound to a file, with tags that tell where it comes from, a loop's .wav with loop points.

        Args:
            path: the file.
            index: of the sound in the batch.
            force: replace an existing file.
            subtype: encoding of the samples.
            tags: in place of those that tell of the same.
            metadata: tell how the sound was made; without, only that it was generated, and by what.
        """
        check_destination(path, force=force, subtype=subtype)
        told = self.record(index) if metadata else Record(model=self.origin.model if self.origin else "")
        if metadata:
            suffix = Path(path).suffix.lower()
            container, subtype = WRITE_FORMATS[suffix][0], check_subtype(suffix, subtype)
            samples = self.row(index).detach().cpu()
            told = replace(told, samples=samples_digest(samples, container, subtype))
        written = super().save(path, index, force, subtype=subtype, tags=told.tags() | dict(tags or {}))
        if self.loop and written.suffix.lower() == ".wav":
            add_loop_points(written)
        return written

    def ordinary(self) -> Self:
        """The same with tensors that can be used in training, wherever it was made."""
        with torch.inference_mode(False):
            return replace(self, samples=self.samples.clone(), codes=self.codes.clone())

    def best(self, rerank: Scorer, candidates: int) -> Self:
        """The best of every `candidates` rows, as a scorer hears them."""
        return self.take(*best_rows(rerank, self.samples, self.sample_rate, self.prompts, candidates))

    def record(self, index: int = 0, *, weights: bool = True) -> Record:
        """What is to be told of one sound, but for its samples.

        Args:
            index: of the sound in the batch.
            weights: tell which they are, for which large models take seconds the first time.
        """
        about: dict[str, Any] = {"date": now()}
        if self.prompts:
            about |= {"prompt": self.prompts[index]}
        if self.seeds:
            about |= {"seed": self.seeds[index]}
        origin = self.origin
        if origin is None:
            return Record(**about, changes=self.changes)
        each = origin.settings.num_samples * origin.settings.candidates  # rows of a prompt
        count = self.samples.shape[0]
        row = range(count)[index] if self.rows is None else self.rows[index]
        if each > 1:
            about["batch"] = (origin.seeds[row // each], each, row % each)
        settings = saved_settings(origin.settings, row // each)
        if origin.edit and "prompts_at" not in origin.edit:
            del settings["duration"]  # which is that of the sound that was edited
        return Record(
            **about,
            model=origin.model,
            weights=origin.weights() if weights else "",
            settings=settings,
            edit=origin.edit,
            lora=origin.lora,
            beside=len(origin.seeds) - 1,
            continues=origin.continues[row // each] if origin.continues else "",
            streamed=origin.streamed,
            changes=self.changes,
            runtime=origin.runtime,
        )


def join_chunks(chunks: Sequence[GeneratedAudio]) -> GeneratedAudio:
    """The whole sounds of the chunks, at least one, that `AudioGen.stream` gave."""
    return replace(
        chunks[0],
        samples=torch.cat([chunk.samples for chunk in chunks], dim=-1),
        codes=torch.cat([chunk.codes for chunk in chunks], dim=-1),
    )
