"""Base of the data modules: render folders that are missing, find them, load them in batches."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from torch.utils.data import DataLoader, Dataset

from ...core.exports_model import ExportsModel
from ..resume import ResumableLoader
from .shards import HOLD_OUT_EVERY
from .sources import RenderedFolder

logger = logging.getLogger(__name__)

_DEBUG_CLIPS = 48


@dataclass(frozen=True)
class RenderSettings:
    """What is made of the Foley corpus where a folder is missing.

    Args:
        clips: clips to render in place of a missing training folder (a tenth of it for validation); None: a
            missing folder is an error.
        jobs: processes that render.
        compositions: weights of the compositions to render, see recipes/foley/corpus.py.
        seconds: length of a clip, s.
        seed: of the corpus; each folder of several has the next one. The order of the data follows
            seed_everything.
        codec: encodes rendered folders that have no codes.npy yet, for a language model; a folder or a name.

    Raises:
        ValueError: too few clips.
    """

    clips: int | None = None
    jobs: int = 1
    compositions: dict[str, float] | None = None
    seconds: float = 5.0
    seed: int = 0
    codec: str | None = None

    def __post_init__(self) -> None:
        if self.clips is not None and self.clips < HOLD_OUT_EVERY * 2:
            raise ValueError(f"render.clips must be {HOLD_OUT_EVERY * 2} or more (or null), got {self.clips}")


class RenderingDataModule(lightning.LightningDataModule):
    """What the modules over rendered folders share: finding their folders, and rendering missing ones.

    Args:
        render: what is rendered, and whether.
        sample_rate: Hz.
    """

    batch_size: int

    def __init__(self, render: RenderSettings, sample_rate: int) -> None:
        super().__init__()
        self.render, self.sample_rate = render, sample_rate

    @property
    def debugging(self) -> bool:
        """Whether this is a debug run (`--trainer.fast_dev_run 2`)."""
        return self.trainer is not None and bool(getattr(self.trainer, "fast_dev_run", False))

    @property
    def process(self) -> tuple[int, int]:
        """Rank of this process and how many there are; (0, 1) without a trainer."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def locate(self, folder: str) -> Path:
        """Return the folder, or in a debug run its small stand-in."""
        path = Path(folder)
        if not path.is_dir() and self.render.clips is not None and self.debugging:
            return path.with_name(path.name + "-debug")
        return path

    def render_missing(self, folder: str, split: str, seed: int, setting: str) -> None:
        """Render the folder if it is missing and that is wanted.

        Args:
            folder: where to.
            split: of the corpus.
            seed: of the corpus.
            setting: which names the folder, as on the command line: "folders '[FOLDER]'".

        Raises:
            FileNotFoundError: it is missing, and nothing is to be rendered.
        """
        path = self.locate(folder)
        if path.is_dir():
            return
        clips = self.render.clips
        if clips is None:
            raise FileNotFoundError(
                f"{path} does not exist; check its spelling and the current folder, or give a folder of "
                f"yours: --data.{setting}"
            )
        if split != "train":
            clips = max(HOLD_OUT_EVERY, clips // 10)
        if self.debugging:
            clips = min(clips, max(_DEBUG_CLIPS, 2 * self.batch_size))
        from ..foley.render_dataset import render_dataset  # only needed where something is missing

        def report(done: int, total: int) -> None:
            if done == total or done % max(32, total // 320 * 32) < 32:
                logger.info("rendering %s: %d of %d clips", path, done, total)

        render_dataset(
            path,
            clips=clips,
            split=split,
            seed=seed,
            seconds=self.render.seconds,
            sample_rate=self.sample_rate,
            jobs=1 if self.debugging else self.render.jobs,
            compositions=self.render.compositions,
            progress=report,
        )

    def check_model(self, *, channels: int, samples: int | None = None) -> None:
        """Raise ValueError unless the model that is trained takes sound of this kind.

        Args:
            channels: C.
            samples: of an item; None: it varies.
        """
        module = getattr(self.trainer, "lightning_module", None)
        wanted = module.audio_format() if isinstance(module, ExportsModel) else None
        if wanted is not None:
            wanted.check(sample_rate=self.sample_rate, channels=channels, samples=samples)

    def open_rendered(self, folder: str) -> RenderedFolder:
        """Open a rendered folder.

        Raises:
            ValueError: it has another sample rate.
        """
        rendered = RenderedFolder(self.locate(folder))
        if rendered.sample_rate != self.sample_rate:
            raise ValueError(
                f"{rendered.folder} is rendered at {rendered.sample_rate} Hz, wanted {self.sample_rate} Hz; "
                f"render it with --sample-rate {self.sample_rate}"
            )
        return rendered


def positive(name: str, value: int) -> int:
    """Return a number; ValueError unless it is 1 or more."""
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


def loader(
    data: Dataset[Any], batch_size: int, workers: int, shuffle: bool = False, **more: Any
) -> DataLoader[Any]:
    """Load a dataset in batches.

    Training loaders shuffle, leave out the incomplete last batch (if there is any other), and go on after a
    checkpoint where it was written.
    """
    more = {"num_workers": workers, "persistent_workers": workers > 0, **more}
    if shuffle:
        return ResumableLoader(data, batch_size, **more)
    return DataLoader(data, batch_size=batch_size, **more)
