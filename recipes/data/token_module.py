"""Data module of encoded folders, as recipes named it before AudioGenDataModule read those too."""

from __future__ import annotations

from .audiogen_module import AudioGenDataModule
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
        codec: what encodes rendered folders that have no codes.npy yet, a folder or a name; None: such a
            folder is an error.
        seed: corpus seed for rendering.

    See RenderingDataModule for the rest.
    """

    def __init__(
        self,
        train_dirs: list[str],
        val_dirs: list[str],
        frames: int = 250,
        batch_size: int = 16,
        repeats: list[int] | None = None,
        num_workers: int = 0,
        codec: str | None = None,
        sample_rate: int = 16000,
        seconds: float = 5.0,
        seed: int = 0,
        render_clips: int | None = None,
        render_jobs: int = 1,
        render_compositions: dict[str, float] | None = None,
    ) -> None:
        if not train_dirs or not val_dirs:
            raise ValueError("train_dirs and val_dirs must each name at least one encoded folder")
        super().__init__(
            train_dirs,
            val_dirs,
            repeats,
            frames=frames,
            batch_size=batch_size,
            sample_rate=sample_rate,
            num_workers=num_workers,
            codec=codec,
            seconds=seconds,
            seed=seed,
            render_clips=render_clips,
            render_jobs=render_jobs,
            render_compositions=render_compositions,
        )

    def prepare_data(self) -> None:
        if self.codec is not None:
            super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        for folder in (*self.folders, *self.val_folders):
            EncodedSource(self.locate(folder), 1)  # names the command that makes it, if it is missing
        super().setup(stage)
