"""How `.ecdc` files hold codes: in 10 bits each, or by a language model and an arithmetic coder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from ...core._torchaudio import import_encodec
from ..encodec.convert import read_th

if TYPE_CHECKING:
    from ..encodec.model import EnCodec

LANGUAGE_MODELS = {
    "encodec_24khz": "encodec_lm_24khz-1608e3c0.th",
    "encodec_48khz": "encodec_lm_48khz-7add9fc3.th",
}
LANGUAGE_MODEL_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"


def pack_codes(codes: Tensor, bits: int) -> bytes:
    """Codes `[K, T]` as bytes: frame by frame, lowest bit first, filled up to a whole byte at the end."""
    values = codes.T.reshape(-1, 1).cpu().numpy()
    return np.packbits((values >> np.arange(bits)) & 1, bitorder="little").tobytes()


def unpack_codes(data: bytes, bits: int, codebooks: int, frames: int) -> Tensor:
    """What `pack_codes` was given, `[K, T]`."""
    count = frames * codebooks * bits
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
    values = flat.reshape(frames, codebooks, bits).astype(np.int64) << np.arange(bits)
    return torch.from_numpy(values.sum(axis=-1).T.copy())


def load_language_model(
    codec: EnCodec, file: str | os.PathLike[str] | None = None, *, local_files_only: bool = False
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


def new_language_model(codec: EnCodec) -> nn.Module:
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

    def see(self, codes: Tensor) -> None:
        """Take the frame `[1, K, 1]` that it was."""
        self.input = 1 + codes.to(self.device)


class PlainPacker:
    """Writes the codes of a segment in so many bits each, while they come in."""

    def __init__(self, stream: BinaryIO, bits: int) -> None:
        self._stream, self._bits = stream, bits
        self._held: Tensor | None = None

    def push(self, codes: Tensor) -> None:
        """Take codes `[K, T]`; of any 8 frames all bits fill whole bytes."""
        codes = codes if self._held is None else torch.cat([self._held, codes], dim=-1)
        whole = codes.shape[-1] // 8 * 8
        self._stream.write(pack_codes(codes[:, :whole], self._bits))
        self._held = codes[:, whole:]

    def finish(self) -> None:
        """Write what is left."""
        if self._held is not None:
            self._stream.write(pack_codes(self._held, self._bits))


class CodedPacker:
    """Writes the codes of a segment by the arithmetic coder, while they come in."""

    def __init__(self, stream: BinaryIO, codebooks: int, language_model: nn.Module) -> None:
        self._coder = import_encodec().quantization.ac.ArithmeticCoder(stream)
        self._predictor = Predictor(language_model, codebooks)

    def push(self, codes: Tensor) -> None:
        """Take codes `[K, T]`."""
        for frame in codes.split(1, dim=-1):
            cdfs = self._predictor.cdfs(self._coder.total_range_bits)
            for value, cdf in zip(frame.flatten().tolist(), cdfs, strict=True):
                self._coder.push(value, cdf)
            _forget(self._coder)
            self._predictor.see(frame.unsqueeze(0))

    def finish(self) -> None:
        """Write what is left."""
        self._coder.flush()


def read_coded(stream: Any, codebooks: int, language_model: nn.Module) -> Iterator[Tensor]:
    """Read frames `[1, K, 1]`, without end, by the arithmetic coder from what has a `read` method.

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
        frame = torch.tensor(values).view(1, -1, 1)
        predictor.see(frame)
        yield frame


def _forget(coder: Any) -> None:
    """Drop what the package's coders note down for debugging: it would grow with the sound."""
    coder._dbg.clear()
    coder._dbg2.clear()
