"""Codes in `.ecdc` files: 10 bits each, or by a language model and an arithmetic coder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ...core._torchaudio import import_encodec
from ..encodec.convert import read_th
from ..encodec.segment_codec import SegmentCodec

LANGUAGE_MODELS = {
    "encodec_24khz": "encodec_lm_24khz-1608e3c0.th",
    "encodec_48khz": "encodec_lm_48khz-7add9fc3.th",
}
LANGUAGE_MODEL_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"


def load_language_model(
    codec: SegmentCodec, file: str | os.PathLike[str] | None = None, *, local_files_only: bool = False
) -> nn.Module:
    """The language model that makes `.ecdc` files smaller.

    Args:
        codec: the codec whose codes it predicts.
        file: Meta's `encodec_lm_24khz-1608e3c0.th` or `encodec_lm_48khz-7add9fc3.th` (weights CC BY-NC 4.0).
            None takes it from torch.hub's cache, or fetches it from where the `encodec` package does.
        local_files_only: do not fetch it.

    Raises:
        OSError: the file is missing or damaged, or cannot be fetched.
        ValueError: it holds another model.
    """
    if file is None:
        name = LANGUAGE_MODELS[codec.model.name]
        file = Path(torch.hub.get_dir()) / "checkpoints" / name
        if not file.is_file():
            if local_files_only:
                raise OSError(
                    f"the language model {name} is not in {file.parent}; fetch it once, in Python with "
                    "soundloom.codecs.ecdc.ecdc_codes.load_language_model(codec)"
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = name.removesuffix(".th").rpartition("-")[2]
            url = LANGUAGE_MODEL_URL + name
            try:
                torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=False)
            except (OSError, RuntimeError) as error:
                raise OSError(
                    f"cannot fetch the language model {url} ({error}); give load_language_model its file"
                ) from error
    model = new_language_model(codec)
    try:
        model.load_state_dict(read_th(Path(file)))
    except RuntimeError as error:
        raise ValueError(f"{file} is no language model for {codec.model.name}: {error}") from error
    return model.to(codec.device)


def new_language_model(codec: SegmentCodec) -> nn.Module:
    """A language model of the published size with untrained weights, in evaluation mode."""
    model = import_encodec().model.LMModel(
        codec.max_codebooks,
        codec.codebook_size,
        num_layers=5,
        dim=200,
        past_context=int(3.5 * codec.model.frame_rate),
    )
    assert isinstance(model, nn.Module)
    return model.eval().requires_grad_(False)


class Predictor:
    """The language model, one frame after the other."""

    def __init__(self, model: nn.Module, codebooks: int) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.input = torch.zeros(1, codebooks, 1, dtype=torch.long, device=self.device)
        self.states: Any = None
        self.offset = 0

    @torch.no_grad()
    def cdfs(self, bits: int) -> list[Tensor]:
        """The distribution of each code of the next frame, as the arithmetic coder wants it."""
        made, self.states, self.offset = self.model(self.input, self.states, self.offset)
        quantize = import_encodec().quantization.ac.build_stable_quantized_cdf
        return [quantize(made[0, :, k, 0], bits, check=False) for k in range(self.input.shape[1])]

    def see(self, frame: Sequence[int]) -> None:
        """Take the frame of K codes that it was."""
        self.input = 1 + torch.tensor(frame, device=self.device).view(1, -1, 1)


class PlainPacker:
    """Writes the codes of a segment in so many bits each, while they come in."""

    def __init__(self, stream: BinaryIO, bits: int) -> None:
        self._packer = import_encodec().binary.BitPacker(bits, stream)

    def push(self, codes: Tensor) -> None:
        """Take codes `[K, T]`; they are written frame by frame."""
        for value in codes.T.flatten().tolist():
            self._packer.push(value)

    def finish(self) -> None:
        """Fill the last byte up."""
        self._packer.flush()


class CodedPacker:
    """Writes the codes of a segment by the arithmetic coder, while they come in."""

    def __init__(self, stream: BinaryIO, codebooks: int, language_model: nn.Module) -> None:
        self._coder = import_encodec().quantization.ac.ArithmeticCoder(stream)
        self._predictor = Predictor(language_model, codebooks)

    def push(self, codes: Tensor) -> None:
        """Take codes `[K, T]`."""
        for frame in codes.T.tolist():
            cdfs = self._predictor.cdfs(self._coder.total_range_bits)
            for value, cdf in zip(frame, cdfs, strict=True):
                self._coder.push(value, cdf)
            _forget(self._coder)
            self._predictor.see(frame)

    def finish(self) -> None:
        """Write what is left."""
        self._coder.flush()


def read_plain(stream: Any, bits: int, codebooks: int) -> Iterator[list[int]]:
    """Read frames of K codes, without end, in so many bits each from what has a `read` method.

    Raises:
        EOFError: there is no more data.
    """
    unpacker = import_encodec().binary.BitUnpacker(bits, stream)
    while True:
        values = [unpacker.pull() for _ in range(codebooks)]
        if None in values:
            raise EOFError("the file ends too early; it is truncated")
        yield values


def read_coded(stream: Any, codebooks: int, language_model: nn.Module) -> Iterator[list[int]]:
    """Read frames of K codes, without end, by the arithmetic coder from what has a `read` method.

    Raises:
        EOFError: there is no more data.
        ValueError: the data is damaged.
    """
    coder = import_encodec().quantization.ac.ArithmeticDecoder(stream)
    predictor = Predictor(language_model, codebooks)
    while True:
        values = []
        for cdf in predictor.cdfs(coder.total_range_bits):
            try:
                value = coder.pull(cdf)
            except RuntimeError as error:
                raise ValueError(f"the codes are damaged: {error}") from error
            if value is None:
                raise EOFError("the file ends too early; it is truncated")
            values.append(value)
        _forget(coder)
        predictor.see(values)
        yield values


def _forget(coder: Any) -> None:
    """Drop what the package's coders note down for debugging: it would grow with the sound."""
    coder._dbg.clear()
    coder._dbg2.clear()
