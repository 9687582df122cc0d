"""LightningDataModules for AudioGen: captioned sound or its codes, from folders or from WebDataset shards."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from ...codecs.registry import load_codec
from ...gen.training.mixing import Mixing
from ..resume import mixed_seed, run_seed
from .captions import normalize_caption
from .encoded_files import CODES
from .folder import read_folder
from .items import ItemDataset, collate_items, item_of_sample
from .rendering import RenderingDataModule, RenderSettings, loader, positive
from .shard_stream import BUFFER, ShardStream, StreamLoader
from .shards import Sample, describe_shards, find_shards, held_out, holds_shards
from .sources import (
    CaptionedSource,
    EncodedSource,
    Item,
    RecordingSource,
    RenderedSource,
    hold_out,
    read_prepared,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentSettings:
    """Length of a training item.

    Args:
        seconds: s. From a longer recording a stretch is taken at random; a shorter one is padded, and the
            padding left out of the loss.
        tail_seconds: how much of the padding after a sound counts as part of it, s: the model then learns
            that a short sound ends, and to be silent. Encoded folders and shards: see `soundloom prepare`.
        frames: the same as `seconds` in frames, for encoded folders without a prepared.json.

    Raises:
        ValueError: a value is out of range.
    """

    seconds: float = 10.0
    tail_seconds: float = 0.0
    frames: int | None = None

    def __post_init__(self) -> None:
        if not 0.02 <= self.seconds <= 600:
            raise ValueError(f"segment.seconds must be 0.02..600, got {self.seconds}")
        if not 0 <= self.tail_seconds <= 600:
            raise ValueError(f"segment.tail_seconds must be 0..600, got {self.tail_seconds}")
        if self.frames is not None:
            positive("segment.frames", self.frames)


@dataclass(frozen=True)
class CaptionSettings:
    """How captions are used.

    Args:
        required: off: train on sound without captions too (unconditionally).
        normalize: reduce captions to key words as the paper does. Prompt in key words then.
    """

    required: bool = True
    normalize: bool = False


@dataclass(frozen=True)
class ShardSettings:
    """How shards are read.

    Args:
        samples_per_epoch: items an epoch; default: as many as prepared.json says.
        shuffle_buffer: samples of a shard, undecoded, of which the next one is drawn.

    Raises:
        ValueError: a number below 1.
    """

    samples_per_epoch: int | None = None
    shuffle_buffer: int = BUFFER

    def __post_init__(self) -> None:
        if self.samples_per_epoch is not None:
            positive("shards.samples_per_epoch", self.samples_per_epoch)
        positive("shards.shuffle_buffer", self.shuffle_buffer)


class AudioGenDataModule(RenderingDataModule):
    """Batches for AudioGenModule (see `CodeBatch`).

    They come from any of these:

    - folders of recordings with captions (see folder.py): "audio" batches, for which the model needs a codec;
    - rendered folders (audio.npy), also "audio", unless `render.codec` encodes them in advance;
    - encoded folders (codes.npy, by `soundloom prepare`): "codes" batches;
    - WebDataset shards, raw or encoded.

    Sound and codes do not mix in one run, nor do shards and folders.

    Args:
        folders: folders or shards to train on; for shards see `shards.find_shards`.
        val_folders: those to validate on; default: every 20th recording of `folders`, which training then
            leaves out.
        repeats: how many times an epoch goes through each folder; default once. Not for shards.
        segment: length of a training item.
        batch_size: B.
        sample_rate: Hz of the sound.
        channels: of the sound, 1 or 2.
        mixing: AudioGen's augmentation, for sound only; null: none. See gen/training/mixing.py.
        caption: how captions are used.
        shards: how shards are read.
        num_workers: loading processes; 0 loads in the main one.
        render: what is rendered where a folder is missing, and what encodes it.
    """

    def __init__(
        self,
        folders: list[str],
        val_folders: list[str] | None = None,
        repeats: list[int] | None = None,
        segment: SegmentSettings = SegmentSettings(),
        batch_size: int = 16,
        sample_rate: int = 16000,
        channels: int = 1,
        mixing: Mixing | None = None,
        caption: CaptionSettings = CaptionSettings(),
        shards: ShardSettings = ShardSettings(),
        num_workers: int = 0,
        render: RenderSettings = RenderSettings(),
    ) -> None:
        super().__init__(render, sample_rate)
        if not folders:
            raise ValueError("folders is empty; name at least one folder of sound or codes")
        if repeats is not None and (len(repeats) != len(folders) or min(repeats) < 1):
            raise ValueError(
                f"repeats must be {len(folders)} numbers of 1 or more, one a folder, got {repeats}"
            )
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}")
        self.folders, self.val_folders = list(folders), list(val_folders or [])
        self.repeats = [1] * len(folders) if repeats is None else list(repeats)
        self.segment, self.channels = segment, channels
        self.tail = round(segment.tail_seconds * sample_rate)
        self.batch_size, self.num_workers = positive("batch_size", batch_size), num_workers
        self.mixing, self.caption, self.shards = mixing, caption, shards
        self.edit = normalize_caption if caption.normalize else None
        self.samples_per_epoch = shards.samples_per_epoch
        self._length = 0
        self._sounding = False

    # ------------------------------------------------------------------ finding the data

    def prepare_data(self) -> None:
        for split, name, folders in (
            ("train", "folders", self.folders),
            ("validation", "val_folders", self.val_folders),
        ):
            for position, folder in enumerate(folders):
                if holds_shards(folder):
                    continue
                self.render_missing(folder, split, self.render.seed + position, f"{name} '[FOLDER]'")
                self._encode(folder)

    def _encode(self, folder: str) -> None:
        """Write codes.npy where there is only audio.npy."""
        path = self.locate(folder)
        if self.render.codec is None or (path / CODES).is_file() or not (path / "audio.npy").is_file():
            return
        from .encoding import encode_rendered

        logger.info("encoding %s with %s", path, self.render.codec)
        encode_rendered(path, load_codec(self.render.codec), name=self.render.codec)

    def setup(self, stage: str | None = None) -> None:
        everything = [*self.folders, *self.val_folders]
        streamed = {folder: holds_shards(folder) for folder in everything}
        if len(set(streamed.values())) > 1:
            raise ValueError(
                f"shards and folders cannot be used in one run: {_listed(streamed, 'shards', 'folder')}; "
                "make shards of all, or unpack them"
            )
        if streamed[self.folders[0]]:
            self._set_up_shards()
        else:
            self._set_up_folders()
        if self._sounding:
            self.check_model(channels=self.channels)
        elif self.mixing is not None:
            raise ValueError("mixing needs sound, but the folders hold codes; set mixing to null")

    def _set_up_folders(self) -> None:
        everything = [*self.folders, *self.val_folders]
        encoded = {folder: (self.locate(folder) / CODES).is_file() for folder in everything}
        if len(set(encoded.values())) > 1:
            raise ValueError(
                f"sound and codes cannot be used in one run: {_listed(encoded, 'codes', 'sound')}; encode "
                "the sound with: soundloom prepare FOLDER -o OUT --codec NAME"
            )
        self._sounding = not encoded[self.folders[0]]
        self._length = round(self.segment.seconds * self.sample_rate)
        if not self._sounding:
            self._length = self._common_frames(
                {folder: read_prepared(self.locate(folder)) for folder in everything}
            )
        sources = [self._source(folder) for folder in self.folders]
        if self.val_folders:
            val_sources = [self._source(folder) for folder in self.val_folders]
            val_items: list[Sequence[int]] = [range(len(source)) for source in val_sources]
            items: list[Sequence[int]] = [range(len(source)) for source in sources]
        else:
            val_sources = sources
            split = [hold_out(source) for source in sources]
            items, val_items = [train for train, _ in split], [held for _, held in split]
            for folder, chosen in zip(self.folders, items, strict=True):
                if not chosen:
                    raise ValueError(
                        f"{folder} holds one recording only: nothing is left to validate; set val_folders"
                    )
        books = {
            str(source.folder): source.num_codebooks
            for source in (*sources, *val_sources)
            if isinstance(source, EncodedSource)
        }
        if len(set(books.values())) > 1:
            raise ValueError(f"the folders were encoded with different numbers of codebooks: {books}")
        once = [1] * len(val_sources)
        self.train_set = ItemDataset(sources, items, self.repeats, training=True, edit=self.edit)
        self.val_set = ItemDataset(val_sources, val_items, once, training=False, edit=self.edit)

    def _source(self, folder: str) -> CaptionedSource:
        path = self.locate(folder)
        if not self._sounding:
            return EncodedSource(path, self._length)
        if (path / "audio.npy").is_file():
            return RenderedSource(self.open_rendered(folder), self.channels, self._length)
        recordings = read_folder(path, captions=self.caption.required)
        return RecordingSource(recordings, self.sample_rate, self.channels, self._length)

    def _set_up_shards(self) -> None:
        if any(times != 1 for times in self.repeats):
            raise ValueError(f"repeats is {self.repeats}, but shards are repeated until an epoch is full")
        prepared = {folder: describe_shards(folder) for folder in (*self.folders, *self.val_folders)}
        kinds = {folder: bool(found and found["codec"]) for folder, found in prepared.items()}
        if len(set(kinds.values())) > 1:
            raise ValueError(
                f"shards of sound and of codes: {_listed(kinds, 'codes', 'sound')}; use one kind"
            )
        self._sounding = not kinds[self.folders[0]]
        self._length = round(self.segment.seconds * self.sample_rate)
        if not self._sounding:
            self._length = self._common_frames(prepared)
        if self.samples_per_epoch is None:
            counts = [(prepared[folder] or {}).get("samples") for folder in self.folders]
            if not all(counts):
                raise ValueError(
                    f"no prepared.json beside the shards {', '.join(self.folders)} says how many samples "
                    "they hold; set shards.samples_per_epoch"
                )
            self.samples_per_epoch = sum(count for count in counts if count)
        self.train_shards = [shard for folder in self.folders for shard in find_shards(folder)]
        self.val_shards = [shard for folder in self.val_folders for shard in find_shards(folder)]

    def _common_frames(self, prepared: dict[str, dict[str, Any] | None]) -> int:
        """T, after checking that what the folders say about their codes fits together and to the model."""
        lm = getattr(getattr(self.trainer, "lightning_module", None), "lm", None)
        spoken = getattr(getattr(self.trainer, "lightning_module", None), "codec_name", None)
        rates, texts = set(), set()
        for folder, found in prepared.items():
            texts.add(bool(found and found["text_encoder"]))
            if found is None:
                continue
            if spoken and found["codec"] and not _may_be_the_same(found["codec"], spoken):
                raise ValueError(
                    f"{folder} was encoded with {found['codec']}, but the model is to be heard through "
                    f"{spoken}; encode it with --codec {spoken}, or set --model.export.codec {found['codec']}"
                )
            rates.add(found["frame_rate"])
            for name, has, wants in (
                ("codebooks", found["num_codebooks"], getattr(lm, "num_codebooks", None)),
                ("codes a codebook", found["codebook_size"], getattr(lm, "codebook_size", None)),
                ("values a text state", found.get("text_dim"), getattr(lm, "text_dim", None)),
            ):
                more = name == "codebooks"  # the last ones are left out, see AudioGenModule.codes_of
                if has and wants and (has < wants if more else has != wants):
                    raise ValueError(
                        f"{folder} was encoded with {has} {name} ({found['codec']}, {found['text_encoder']}),"
                        f" but the model has {wants}; encode it for the model, or change the model's sizes"
                    )
        if len(texts) > 1:
            raise ValueError("some folders hold encoded captions and others do not; prepare them all alike")
        if self.edit is not None and True in texts:
            raise ValueError(
                "caption.normalize comes too late for captions that are encoded already; give "
                "--normalize-captions to soundloom prepare"
            )
        if self.segment.frames is not None:
            return self.segment.frames
        if len(rates) != 1:
            raise ValueError(
                f"the frame rate of the codes is {sorted(rates) or 'not known'}; set segment.frames "
                "to the length of an item"
            )
        return math.ceil(self.segment.seconds * rates.pop())

    # ------------------------------------------------------------------ loading it

    @property
    def _clips_to_load(self) -> int:
        return self.batch_size if self.mixing is None else self.mixing.clips_to_load(self.batch_size)

    def train_dataloader(self) -> Any:
        collate = partial(
            collate_items,
            length=self._length,
            mixing=self.mixing,
            batch_size=self.batch_size,
            tail=self.tail,
        )
        if hasattr(self, "train_set"):
            return loader(
                self.train_set, self._clips_to_load, self.num_workers, shuffle=True, collate_fn=collate
            )
        assert self.samples_per_epoch is not None
        rank, world = self.process
        stream = ShardStream(
            self.train_shards,
            partial(self._item, held=None if self.val_shards else False),
            collate,
            batch_size=self._clips_to_load,
            batches=max(1, self.samples_per_epoch // world // self._clips_to_load),
            seed=mixed_seed(run_seed()),
            buffer=self.shards.shuffle_buffer,
            rank=rank,
            world_size=world,
        )
        return StreamLoader(stream, self.num_workers)

    def val_dataloader(self) -> DataLoader[Any]:
        collate = partial(collate_items, length=self._length, tail=self.tail)
        if hasattr(self, "val_set"):
            return loader(self.val_set, self.batch_size, self.num_workers, collate_fn=collate)
        rank, world = self.process
        stream = ShardStream(
            self.val_shards or self.train_shards,
            partial(self._item, held=None if self.val_shards else True),
            collate,
            batch_size=self.batch_size,
            batches=None,
            rank=rank,
            world_size=world,
        )
        return DataLoader(stream, batch_size=None, num_workers=min(1, self.num_workers))

    def test_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()

    def _item(self, sample: Sample, generator: torch.Generator | None, held: bool | None) -> Item | None:
        """An item of a shard, if it is (not) among the held-out ones; `held` None: whatever it is."""
        if held is not None and held_out(sample.key) != held:
            return None
        item = item_of_sample(sample, self.sample_rate, self.channels, self._length, generator)
        if self.caption.required and self._sounding and not item.caption:
            return None
        if self.edit is not None:
            item.caption = self.edit(item.caption)
        return item


def _listed(kinds: dict[str, bool], yes: str, no: str) -> str:
    return ", ".join(f"{folder} ({yes if kind else no})" for folder, kind in kinds.items())


def _may_be_the_same(name: str, other: str) -> bool:
    """Whether two names may be those of one codec: folders are known by more than one."""
    return name == other or Path(name).is_dir() or Path(other).is_dir() or Path(name).name == Path(other).name
