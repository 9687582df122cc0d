"""Data module of encoded folders, as recipes named it before AudioGenDataModule read those too."""

from __future__ import annotations

from .audiogen_module import AudioGenDataModule, SegmentSettings
from .rendering import RenderSettings
from .sources import EncodedSource


class TokenDataModule(AudioGenDataModule):
    """AudioGenDataModule for encoded folders, by the names of its first version, which old recipes use.

    Args:
        train_dirs: encoded folders (codes.npy and metadata.jsonl) to train on.
        val_dirs: encoded folders to validate on.
        frames: T; shorter items are padded, longer ones cut.
        batch_size: B.
        repeats: how many times an epoch goes through each training folder; default once.
        num_workers: loading processes; 0 loads in the main one.
        sample_rate: Hz.
        render: what is rendered where a folder is missing, and what encodes it; without a codec, a missing
            folder is an error.
    """

    def __init__(
        self,
        train_dirs: list[str],
        val_dirs: list[str],
        frames: int = 250,
        batch_size: int = 16,
        repeats: list[int] | None = None,
        num_workers: int = 0,
        sample_rate: int = 16000,
        render: RenderSettings = RenderSettings(),
    ) -> None:
        if not train_dirs or not val_dirs:
            raise ValueError("train_dirs and val_dirs must each name at least one encoded folder")
        super().__init__(
            train_dirs,
            val_dirs,
            repeats,
            segment=SegmentSettings(frames=frames),
            batch_size=batch_size,
            sample_rate=sample_rate,
            num_workers=num_workers,
            render=render,
        )

    def prepare_data(self) -> None:
        if self.render.codec is not None:
            super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        for folder in (*self.folders, *self.val_folders):
            EncodedSource(self.locate(folder), 1)  # names the command that makes it, if it is missing
        super().setup(stage)
