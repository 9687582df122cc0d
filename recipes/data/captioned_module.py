"""Captioned recordings with their classes, for a network that tells how near a sound is to a caption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .folder import Recording, read_folder
from .items import ItemDataset
from .recordings import CLASS_KEYS, held_out
from .rendering import RenderingDataModule, RenderSettings, loader, positive
from .sources import Item, RecordingSource

ONE_CLASS = "sound"  # that of recordings whose table names none


class CaptionedBatch(TypedDict):
    """Sounds float32 `[B, N]`, their classes int64 `[B]`, and B captions."""

    audio: Tensor
    label: Tensor
    captions: list[str]


@dataclass
class LabelledItem(Item):
    """An item with the number of its class."""

    label: int = 0


class LabelledSource(RecordingSource):
    """Recordings of one class, one channel.

    Args:
        recordings: see `folder.read_folder`.
        sample_rate: Hz.
        samples: N, longest stretch.
        label: number of the class.
    """

    def __init__(self, recordings: Sequence[Recording], sample_rate: int, samples: int, label: int) -> None:
        super().__init__(recordings, sample_rate, 1, samples)
        self.label = label

    def read(self, item: int, generator: torch.Generator | None) -> LabelledItem:
        found = super().read(item, generator)
        return LabelledItem(found.caption, audio=found.audio, label=self.label)


class CaptionedSoundDataModule(RenderingDataModule):
    """Crops of recordings with a caption and a class: batches `CaptionedBatch`.

    Recordings and captions are found as for a language model (see folder.py). The class is what the table
    says in a column `sound_class` (or class, category, label); where it says none, "sound". Rows with
    "validation" in a column `split` measure, those of other splits than "train" are left out. Without such
    rows about one recording in twenty measures.

    In training a class is met in proportion to the root of the number of its recordings.

    Args:
        folders: of recordings.
        segment_seconds: length of a crop, s; shorter sounds end in silence.
        batch_size: B.
        sample_rate: Hz that everything is resampled to.
        num_workers: loading processes; 0 loads in the main one.

    Attributes:
        class_names: of all recordings, known after `setup`.
        captions: of the recordings to train on, known after `setup`.
    """

    def __init__(
        self,
        folders: list[str],
        segment_seconds: float = 2.56,
        batch_size: int = 48,
        sample_rate: int = 16000,
        num_workers: int = 0,
    ) -> None:
        super().__init__(RenderSettings(), sample_rate)
        if not folders:
            raise ValueError("folders is empty; name at least one folder of captioned sound")
        if not 0.01 <= segment_seconds <= 600:
            raise ValueError(f"segment_seconds must be 0.01..600, got {segment_seconds}")
        self.folders, self.segment = list(folders), round(segment_seconds * sample_rate)
        self.batch_size, self.num_workers = positive("batch_size", batch_size), num_workers
        self.class_names: list[str] = []
        self.captions: list[str] = []

    def setup(self, stage: str | None = None) -> None:
        self.check_model(channels=1, samples=self.segment)
        found = [recording for folder in self.folders for recording in read_folder(folder)]
        train = [recording for recording in found if recording.in_split("train")]
        val = [recording for recording in found if recording.in_split("validation", or_none=False)]
        if not val:
            held = held_out(train)
            val = [recording for recording, out in zip(train, held, strict=True) if out]
            train = [recording for recording, out in zip(train, held, strict=True) if not out]
        if not train or not val:
            raise ValueError(
                f"{', '.join(self.folders)}: {len(train)} recordings to train on and {len(val)} to validate; "
                "mark some rows with train, others with validation in a column split"
            )
        self.class_names = sorted({label_of(recording) for recording in (*train, *val)})
        self.captions = [caption for recording in train for caption in recording.captions]
        self.train_set, self.val_set = self._dataset(train, training=True), self._dataset(val, training=False)

    def _dataset(self, recordings: Sequence[Recording], *, training: bool) -> ItemDataset:
        of_class: dict[str, list[Recording]] = defaultdict(list)
        for recording in recordings:
            of_class[label_of(recording)].append(recording)
        most = max(map(len, of_class.values()))
        sources = [
            LabelledSource(members, self.sample_rate, self.segment, self.class_names.index(name))
            for name, members in of_class.items()
        ]
        repeats = [round((most / len(source)) ** 0.5) if training else 1 for source in sources]
        return ItemDataset(sources, [range(len(source)) for source in sources], repeats, training)

    def train_dataloader(self) -> DataLoader[Any]:
        collate = partial(collate_captioned, samples=self.segment)
        return loader(self.train_set, self.batch_size, self.num_workers, shuffle=True, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[Any]:
        collate = partial(collate_captioned, samples=self.segment)
        return loader(self.val_set, self.batch_size, self.num_workers, collate_fn=collate)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()


def label_of(recording: Recording) -> str:
    """The class that the table gives a recording, or `ONE_CLASS`."""
    return next((recording.columns[key] for key in CLASS_KEYS if recording.columns.get(key)), ONE_CLASS)


def collate_captioned(items: Sequence[LabelledItem], samples: int) -> CaptionedBatch:
    """Make a batch of items, padded with silence to `samples`."""
    audio = torch.zeros(len(items), samples)
    for row, item in zip(audio, items, strict=True):
        assert item.audio is not None
        row[: item.audio.shape[-1]] = item.audio[0]
    labels = torch.tensor([item.label for item in items])
    return {"audio": audio, "label": labels, "captions": [item.caption for item in items]}
