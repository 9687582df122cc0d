"""The contract that every codec keeps, and how a model is found by name."""

from __future__ import annotations

import difflib
import importlib
import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .audio import MAX_CHANNELS, AudioError, as_samples, check_finite, mix, resample
from .container_header import CODEC_NAME
from .streams import CodecStream, WholeDecoder, WholeEncoder

if TYPE_CHECKING:
    from .container import Compressed

BUNDLED_MODELS = Path(__file__).resolve().parent / "models"

# `_class_name` in a codec's config.json -> module (relative to this package) that holds the class.
CODEC_CLASSES = {
    "SEANetCodec": ".seanet.model",
    "EnCodec": ".encodec",
    "Music2Latent2": ".music2latent2.model",
}
# Codecs that are fetched from the hub, by the short name that load_codec takes.
HUB_CODECS = {"encodec-24khz": "facebook/encodec_24khz", "encodec-48khz": "facebook/encodec_48khz"}
# Codecs as others publish them: `model_type` of transformers' config.json -> our class.
TRANSFORMERS_TYPES = {"encodec": "EnCodec"}
# A folder with this file and no config.json is a codec as AudioCraft published it, which is a SEANetCodec.
PUBLISHED_FILE = "compression_state_dict.bin"
# A folder with this file is CoDiCodec as it was published, which is a Music2Latent2.
CODICODEC_FILE = "codicodec.pt"

CODEC_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", PUBLISHED_FILE, CODICODEC_FILE)
MODEL_FILES = ("config.json", "state_dict.bin", PUBLISHED_FILE, CODICODEC_FILE)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Codec(ABC):
    """What every codec offers; a mixin beside the nn.Module that does the work.

    Letters: B sounds, C channels, N samples, K codebooks, T frames, S latents per frame of D channels.

    Attributes:
        name: what `load_codec` found it under, for the header of compressed files; "" when that is no name
            that a file may hold.
    """

    name: str = ""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Hz of the audio that goes in and comes out."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the audio that goes in and comes out: 1 or 2."""

    @property
    @abstractmethod
    def frame_rate(self) -> float:
        """Frames per second of the coded sequence."""

    @property
    @abstractmethod
    def num_codebooks(self) -> int:
        """K, codes per frame."""

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Number of values that one code can take."""

    @property
    def bitrate(self) -> float:
        """Bits per second of plainly packed codes."""
        return self.num_codebooks * math.ceil(math.log2(self.codebook_size)) * self.frame_rate

    @property
    def discrete(self) -> bool:
        """Whether sound can be stored as codes."""
        return True

    @property
    def latent_shape(self) -> tuple[int, int] | None:
        """(S, D) of a frame, if sound can be stored as continuous latents."""
        return None

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that sound can be stored with, ascending."""
        return (self.num_codebooks,)

    @property
    def samples_per_frame(self) -> Fraction:
        """Samples that a frame stands for."""
        return Fraction(self.sample_rate / self.frame_rate).limit_denominator(1000)

    @property
    def seek_frames(self) -> int:
        """Decoding can begin at frames that are multiples of this."""
        return 1

    @property
    def warm_up_frames(self) -> int:
        """Frames before a place that a decoder must get to be there what it is within the whole sound."""
        return math.ceil(self.frame_rate)

    @abstractmethod
    def encode(self, audio: Tensor) -> Tensor:
        """Turn audio at `sample_rate`, float32 `[B, C, N]`, into codes, int64 `[B, K, T]`."""

    @abstractmethod
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Turn codes, int64 `[B, K, T]`, into audio, float32 `[B, C, N]`; `length` cuts it to N samples."""

    def prepare(self, audio: Tensor | np.ndarray, sample_rate: int) -> Tensor:
        """Make any sound ready for `encode`: resampled to the codec's rate, then mixed to its channels.

        Args:
            audio: `[N]`, `[C, N]` or `[B, C, N]`, any type that `as_samples` takes.
            sample_rate: Hz of `audio`.

        Returns:
            Float32 `[B, channels, M]` with `M = ceil(N * codec.sample_rate / sample_rate)`.

        Raises:
            AudioError: another shape, 0 samples, NaN or infinite samples, or a bad sample rate.
        """
        samples = as_samples(audio)
        shape = list(samples.shape)
        if samples.ndim not in (1, 2, 3):
            raise AudioError(f"audio has shape {shape}; use [N], [C, N] or [B, C, N]")
        while samples.ndim < 3:
            samples = samples.unsqueeze(0)
        if not 1 <= samples.shape[1] <= MAX_CHANNELS:
            raise AudioError(
                f"audio of shape {shape} has {samples.shape[1]} channels; 1 to {MAX_CHANNELS} are allowed, "
                "and channels come before samples (transpose [N, C] audio)"
            )
        if samples.numel() == 0:
            raise AudioError(f"audio of shape {shape} is empty; give at least 1 sample")
        check_finite(samples)
        return mix(resample(samples, sample_rate, self.sample_rate), self.channels)

    def stream_encoder(self, **options: Any) -> CodecStream:
        """An encoder to push samples into; one that waits for the end, unless the codec has its own.

        A codec with latents and codes takes `discrete`, and one of whose `codebook_choices` some are above
        `num_codebooks` takes `num_codebooks`.
        """
        return WholeEncoder(self, **options)

    def stream_decoder(self, **options: Any) -> CodecStream:
        """A decoder to push codes into; one that waits for the end, unless the codec has its own."""
        return WholeDecoder(self, **options)

    def compress(
        self,
        audio: Tensor | np.ndarray,
        sample_rate: int,
        *,
        bitrate: float | None = None,
        codebooks: int | None = None,
        precision: str | None = None,
        entropy: str = "auto",
        scale: float = 1.0,
        name: str | None = None,
    ) -> Compressed:
        """Encode one sound of any sample rate and channel count into what a `.loom` file holds.

        The sound is resampled to the codec's rate and mixed to its channels; `decompress` gives its rate and
        its exact length back. Channels come back too, but for a sound that has more than the codec: it is
        mixed down and comes back mono.

        Args:
            audio: `[N]`, `[C, N]` or `[1, C, N]`.
            sample_rate: Hz of `audio`.
            bitrate: bits per second; takes the best of what the codec has to offer that is at most this (2 %
                more is let pass), counted before entropy coding and without the file's header.
            codebooks: how many to keep, one of `codebook_choices`.
            precision: "exact" stores codes, "float16" and "int8" continuous latents; None: codes, where the
                codec has them, else float16.
            entropy: "auto" also tries an adaptive coder on codes and keeps what is smaller; "none" does not.
            scale: factor on the sound before it is encoded; `decompress` divides by it.
            name: of the codec in the header, in place of `self.name`.

        Returns:
            What `Compressed.save` writes and `Compressed.to_bytes` packs.

        Raises:
            AudioError: no samples, NaN or infinite ones, another shape, or an impossible sample rate.
            ValueError: settings that this codec does not have, or a codec without a name.
        """
        from .compression import compress
        from .storage import choose_storage

        storage = choose_storage(self, bitrate=bitrate, codebooks=codebooks, precision=precision)
        return compress(self, audio, sample_rate, storage, entropy=entropy, scale=scale, name=name)

    def decompress(
        self, compressed: Compressed, *, start: float | None = None, stop: float | None = None
    ) -> tuple[Tensor, int]:
        """Decode what `compress` made to the sample rate, the channels and the length that the sound had.

        Args:
            compressed: as `compress` made it, or `Compressed.load` read it.
            start, stop: seconds between which the sound is wanted; None: its beginning, its end. Only what is
                needed for that is decoded.

        Returns:
            Float32 `[C, N]` and the sample rate in Hz.

        Raises:
            ValueError: it was made with another codec, or no such part.
        """
        from .compression import decompress

        return decompress(self, compressed, start=start, stop=stop)


def bundled_names(bundled_root: Path) -> list[str]:
    """Names of the models that ship in a folder, sorted."""
    if not bundled_root.is_dir():
        return []
    return sorted(folder.name for folder in bundled_root.iterdir() if (folder / "config.json").is_file())


def resolve_model(
    name: str | os.PathLike[str],
    bundled_root: Path,
    *,
    local_files_only: bool = False,
    revision: str | None = None,
    allow_patterns: Sequence[str] | None = None,
) -> Path:
    """Find the folder of a model: an existing folder, else a bundled name, else a hub id ("owner/name").

    A bundled name yields to a folder of that name only if the folder holds a model, so that an unrelated
    folder where the program happens to be started changes nothing.

    Args:
        name: folder, bundled name or hub id.
        bundled_root: folder of the models that ship with the package.
        local_files_only: take hub models from the local cache only.
        revision: branch, tag or commit of a hub model; folders and bundled models have none.
        allow_patterns: the files wanted of a hub model, as shell patterns; all when None.

    Returns:
        The folder, with everything local.

    Raises:
        ValueError: unknown name (the nearest bundled names are listed), or no such model on the hub.
        NotADirectoryError: the name is that of a file.
        OSError: the hub cannot be reached, or the model is not in the local cache.
    """
    text = os.fspath(name)
    if not text.strip():
        raise ValueError(f"the model name is empty; {_known(text, bundled_root)}")
    folder = Path(text).expanduser()
    bundled = bundled_root / text if text in bundled_names(bundled_root) else None
    if folder.is_dir() and (bundled is None or any((folder / file).is_file() for file in MODEL_FILES)):
        return folder
    if bundled is not None:
        return bundled
    if folder.is_file():
        raise NotADirectoryError(f"{text} is a file; give the folder that holds the model: {folder.parent}")
    if not _HUB_ID.fullmatch(text):
        raise ValueError(
            f"unknown model {text!r}: no such folder and no bundled model; {_known(text, bundled_root)}"
        )
    return _download(text, bundled_root, local_files_only, revision, allow_patterns)


def _known(name: str, bundled_root: Path) -> str:
    """The part of an error message that says what a name may be."""
    names = bundled_names(bundled_root) + (sorted(HUB_CODECS) if bundled_root == BUNDLED_MODELS else [])
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(repr(word) for word in near)}? " if near else ""
    listed = ", ".join(names) or "none"
    return f"{hint}use a folder, a bundled name ({listed}) or a hub id 'owner/name'"


def _download(
    hub_id: str,
    bundled_root: Path,
    local_files_only: bool,
    revision: str | None,
    allow_patterns: Sequence[str] | None,
) -> Path:
    """Fetch a hub model into the local cache, or find it there."""
    # Here and not above: what is on disk already should not wait for the hub client's import.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    version = f" at revision {revision!r}" if revision else ""
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=None if allow_patterns is None else list(allow_patterns),
            )
        )
    except GatedRepoError as error:
        raise PermissionError(
            f"the hub model {hub_id!r} is gated; accept its terms on its page, then run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ValueError(
            f"unknown model {hub_id!r}{version}: no such folder here and nothing of that name on the hub; "
            f"{_known(hub_id, bundled_root)}"
        ) from error
    except OSError as error:
        raise OSError(
            f"cannot get the hub model {hub_id!r}{version}: it is not in the local cache and could not be "
            "fetched (offline, HF_HUB_OFFLINE, or local_files_only); connect once to fetch it. If it was "
            f"meant as a folder: there is none of that name; {_known(hub_id, bundled_root)}"
        ) from error


def codec_class(folder: Path) -> type[Codec]:
    """The class of the codec saved in a folder, by `_class_name` of its config.json.

    Raises:
        FileNotFoundError: the folder holds no codec.
        ValueError: its config.json is damaged or names no codec that is known here.
    """
    config = folder / "config.json"
    settings: Any = {}
    if config.is_file():
        try:
            settings = json.loads(config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{config} is not readable JSON ({error}); fetch or save the model again"
            ) from error
        settings = settings if isinstance(settings, dict) else {}
    name = settings.get("_class_name")
    if name is None and (folder / CODICODEC_FILE).is_file():
        name = "Music2Latent2"  # a config.json beside it holds the sizes only
    elif config.is_file():
        name = name or TRANSFORMERS_TYPES.get(str(settings.get("model_type")))
        if name not in CODEC_CLASSES:
            raise ValueError(
                f"{config} has _class_name {name!r}, which is no known codec; "
                f"known: {', '.join(sorted(CODEC_CLASSES))}"
            )
    elif (folder / PUBLISHED_FILE).is_file():
        name = "SEANetCodec"
    elif any(folder.glob("encodec_*.th")):
        name = "EnCodec"
    else:
        raise FileNotFoundError(f"{folder} holds no codec; it needs a config.json or a {PUBLISHED_FILE}")
    kind = getattr(importlib.import_module(CODEC_CLASSES[name], __package__), name)
    assert issubclass(kind, Codec)
    return kind


def load_codec(
    name: str | os.PathLike[str] = "seanet-16khz",
    *,
    local_files_only: bool = False,
    revision: str | None = None,
    **settings: Any,
) -> Codec:
    """Load a codec of any kind by name, ready to encode and decode.

    Args:
        name: a folder, a bundled name or a hub id; see `resolve_model` for the order and its errors. Also
            "encodec-24khz" and "encodec-48khz", which come from the hub, and Meta's own `.th` files of these.
        local_files_only: take hub models from the local cache only.
        revision: branch, tag or commit of a hub model.
        settings: passed to `from_pretrained` of the codec's class, for example EnCodec's `bandwidth`.

    Raises:
        ValueError: unknown name, or the folder's config.json names no known codec.
        OSError: a file is missing or damaged, or the hub cannot be reached.
    """
    codec = _load(name, local_files_only=local_files_only, revision=revision, **settings)
    if codec.name:
        return codec
    text = os.fspath(name)
    path = Path(text).expanduser()
    known = text in (*bundled_names(BUNDLED_MODELS), *HUB_CODECS)
    short = path.resolve().name if path.exists() and not known else text
    codec.name = short if CODEC_NAME.fullmatch(short) else ""
    return codec


def _load(
    name: str | os.PathLike[str], *, local_files_only: bool, revision: str | None, **settings: Any
) -> Codec:
    text = os.fspath(name)
    if text in HUB_CODECS or text.endswith(".th") or settings.get("random_weights"):
        from .encodec import EnCodec

        return EnCodec.from_pretrained(text, local_files_only=local_files_only, revision=revision, **settings)
    folder = resolve_model(
        name,
        BUNDLED_MODELS,
        local_files_only=local_files_only,
        revision=revision,
        allow_patterns=CODEC_FILES,
    )
    kind: Any = codec_class(folder)
    codec = kind.from_pretrained(folder, **settings)
    assert isinstance(codec, Codec)
    return codec
