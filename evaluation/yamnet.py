"""YAMNet, a sound tagger that was trained on AudioSet: its tags, and its features for distances.

YAMNet tells the 521 classes of AudioSet apart and knows nothing of this project's corpus: its figures are
independent, and must stay so: never train a codec or a language model against it. Source: Plakal and Ellis,
tensorflow/models, research/audioset/yamnet (Apache-2.0), from which the table of classes beside this file is,
too; here its network runs in onnxruntime (`pip install soundloom[yamnet]`).

Letters: B sounds, N samples, P patches of a sound.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.hub import resolve_model

ENVIRONMENT = "SOUNDLOOM_YAMNET"
BANDS, FRAMES, HOP_FRAMES = 64, 96, 48  # of a patch: 0.96 s, half overlapping
WINDOW, HOP, N_FFT = 400, 160, 512  # samples
SHORTEST = 15600  # samples; a shorter sound is padded with silence
CLASSES, FEATURES = 521, 1024
_WHERE = (
    "give the file as yamnet:FILE.onnx, or as yamnet:NAME a folder or a hub id that holds it, or set the "
    f"environment variable {ENVIRONMENT} to one of them"
)


class Session(Protocol):
    """The part of onnxruntime.InferenceSession that is used."""

    def run(self, names: Sequence[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]: ...

    def get_inputs(self) -> Sequence[Any]: ...

    def get_outputs(self) -> Sequence[Any]: ...


class YAMNet:
    """Tags and features of sounds.

    Args:
        session: takes one log-mel patch `[1, 1, 96, 64]` and gives, in any order, logits `[1, 521]` and
            features `[1, 1024]`.

    Raises:
        ValueError: the network's inputs or outputs are others.
    """

    name = "yamnet"
    sample_rate = 16000  # Hz of the audio it takes
    num_features = FEATURES
    own_windows = True  # `embed` gives features of every patch

    def __init__(self, session: Session) -> None:
        inputs = [(entry.name, list(entry.shape)) for entry in session.get_inputs()]
        outputs = [(entry.name, list(entry.shape)) for entry in session.get_outputs()]
        by_size = {shape[-1]: name for name, shape in outputs if shape}
        if (
            len(inputs) != 1
            or inputs[0][1][-2:] != [FRAMES, BANDS]
            or not {CLASSES, FEATURES} <= set(by_size)
        ):
            raise ValueError(
                f"the network takes {inputs} and gives {outputs}; a YAMNet is needed that takes log-mel "
                f"patches [1, 1, {FRAMES}, {BANDS}] and gives logits [1, {CLASSES}] and features "
                f"[1, {FEATURES}]"
            )
        self.session, self._input = session, inputs[0][0]
        self._outputs = [by_size[CLASSES], by_size[FEATURES]]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] | None = None, *, threads: int = 1) -> YAMNet:
        """Load the network.

        Args:
            name: an .onnx file, a folder or a hub id ("owner/name") that holds exactly one; None: what the
                environment variable SOUNDLOOM_YAMNET names.
            threads: of onnxruntime.

        Raises:
            ValueError: nothing is named, the name is unknown, or it holds no YAMNet.
            ImportError: onnxruntime is not installed.
            OSError: the hub cannot be reached.
        """
        text = os.fspath(name or os.environ.get(ENVIRONMENT, ""))
        if not text:
            raise ValueError(f"no file with YAMNet's weights is named, and none ships: {_WHERE}")
        file = _find(text)
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("YAMNet needs onnxruntime: pip install soundloom[yamnet]") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each kind of damage
            raise ValueError(
                f"{file} cannot be read as a network in the ONNX format ({error}); {_WHERE}"
            ) from error
        try:
            return cls(session)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    @property
    def tag_names(self) -> list[str]:
        """Names of the 521 tags, in the order of the scores."""
        return list(tag_names())

    def hear(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Mono audio `[B, N]` at 16 kHz -> scores `[B, 521]` from 0 to 1, features `[B, P, 1024]`.

        A sound of single events is mostly silence: so a tag's score is the largest of all patches, and that
        of "Silence" is 0.
        """
        heard = [self._hear(sound) for sound in audio.detach().cpu().float().numpy()]
        return torch.stack([scores for scores, _ in heard]), torch.stack([features for _, features in heard])

    def tags(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` -> scores `[B, 521]`; see `hear`."""
        return self.hear(audio)[0]

    def embed(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` -> features `[B * P, 1024]`: those of every patch are a point of their own."""
        return self.hear(audio)[1].flatten(0, 1)

    def _hear(self, sound: np.ndarray) -> tuple[Tensor, Tensor]:
        found = [
            self.session.run(self._outputs, {self._input: patch[None]}) for patch in log_mel_patches(sound)
        ]
        logits, features = (np.concatenate(part) for part in zip(*found, strict=True))
        scores = torch.from_numpy(logits.max(0)).sigmoid()
        scores[tag_names().index("Silence")] = 0.0
        return scores, torch.from_numpy(features)


@cache
def tag_names() -> tuple[str, ...]:
    """Names of YAMNet's 521 tags, which are classes of AudioSet, in the order of its scores."""
    with open(Path(__file__).with_name("yamnet_class_map.csv"), encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))


def log_mel_patches(samples: np.ndarray) -> np.ndarray:
    """Mono samples `[N]` at 16 kHz -> log-mel patches as YAMNet takes them, `[P, 1, 96, 64]`.

    P is 1 for at most a second, and 1 more for every further 0.48 s.
    """
    samples = np.asarray(samples, np.float32)
    samples = np.pad(samples, (0, max(0, SHORTEST - len(samples))))
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * window
    magnitude = np.abs(np.fft.rfft(frames, N_FFT)).astype(np.float32)
    log_mel = np.log(magnitude @ _mel_weights() + 0.001)  # [frames, 64]
    starts = range(0, len(log_mel) - FRAMES + 1, HOP_FRAMES)
    return np.stack([log_mel[start : start + FRAMES] for start in starts])[:, None].astype(np.float32)


@cache
def _mel_weights() -> np.ndarray:
    """`[257, 64]`: triangles between 125 and 7500 Hz, even on the mel scale and straight on it, too.

    `core.spectra.mel_filters` draws them straight in Hz, as most do; YAMNet was trained on these.
    """

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    low, high = mel(np.array([125.0, 7500.0]))
    edges = np.linspace(low, high, BANDS + 2)
    bins = mel(np.linspace(0, YAMNet.sample_rate / 2, N_FFT // 2 + 1))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    weights[0] = 0
    return weights.astype(np.float32)


def _find(text: str) -> Path:
    """The .onnx file that a name stands for."""
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".onnx":
        raise FileNotFoundError(f"there is no file {text}; {_WHERE}")
    try:
        folder = resolve_model(text, Path(__file__).parent / "no-yamnet-ships", allow_patterns=("*.onnx",))
    except ValueError as error:
        raise ValueError(f"no YAMNet is found as {text!r}; {_WHERE}") from error
    files = sorted(folder.rglob("*.onnx"))
    if len(files) != 1:
        listed = ", ".join(str(file.relative_to(folder)) for file in files) or "none"
        raise ValueError(f"{text} must hold exactly one .onnx file, it holds {listed}; {_WHERE}")
    return files[0]
