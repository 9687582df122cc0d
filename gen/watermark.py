"""AudioSeal's watermark (San Roman et al. 2024, arXiv 2401.17264): put one into a sound, and look for it.

The package `audioseal` (MIT) and its weights are the user's to fetch; nothing here does. The package opens
weights with an unpickler that runs code, so they are read here, as tensors only.

Letters: B sounds in a batch, C channels, N samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.audio import mix, resample
from ..core.checkpoint import read_torch
from ..core.errors import ModelError, ModelNotFoundError
from ..core.limiter import limit

RATE = 16000  # Hz, which the weights were trained for
# Of each network: the file with its weights as it is published, and the card that describes it.
GENERATOR = ("generator_base.pth", "audioseal_wm_16bits.yaml")
DETECTOR = ("detector_base.pth", "audioseal_detector_16bits.yaml")
DETECTED = 0.5  # share of a sound's samples above which it is said to have the watermark
BLOCK_SECONDS = 30.0


class Watermark:
    """AudioSeal's two networks, each loaded when it is first needed.

    Args:
        folder: with generator_base.pth and detector_base.pth, as the hub's facebook/audioseal has them.

    Raises:
        ModelNotFoundError: the package, or the folder, is not here.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ModelNotFoundError(
                f"there is no folder {self.folder} with AudioSeal's weights; fetch generator_base.pth and "
                "detector_base.pth of facebook/audioseal into one, and give its path"
            )
        try:
            self._package = import_module("audioseal")
            self._builder = import_module("audioseal.builder")
            self._loader = import_module("audioseal.loader")
        except ImportError as error:
            raise ModelNotFoundError(
                f"watermarks need the package audioseal, which is not here ({error}): pip install "
                '"soundloom[watermark]"'
            ) from error
        self._networks: dict[str, nn.Module] = {}

    def put(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Put the watermark into sounds `[B, C, N]` within full scale; every channel gets it.

        It is made at 16 kHz and added at the sound's own rate, then limited.
        """
        generator = self._network(*GENERATOR)
        mono = samples.reshape(-1, 1, samples.shape[-1])
        with torch.inference_mode(), _eager():
            marks = []
            for sound in resample(mono, sample_rate, RATE):  # [1, n]
                blocks = sound[None].split(round(BLOCK_SECONDS * RATE), dim=-1)
                marks.append(torch.cat([generator.get_watermark(block) for block in blocks], dim=-1))
            added = resample(torch.cat(marks), RATE, sample_rate)[..., : samples.shape[-1]]
        marked = mono.clone()
        marked[..., : added.shape[-1]] += added
        return limit(marked.reshape(samples.shape), sample_rate)

    def share(self, samples: Tensor, sample_rate: int) -> float:
        """The share of the samples of a sound `[C, N]` in which the detector sees the watermark, 0 to 1."""
        detector = self._network(*DETECTOR)
        sound = resample(mix(samples, 1), sample_rate, RATE)[None]  # [1, 1, n]
        seen = 0
        with torch.inference_mode(), _eager():
            for block in sound.split(round(BLOCK_SECONDS * RATE), dim=-1):
                scores, _ = detector(block)  # [1, 2, n]: not marked, marked
                seen += int((scores[:, 1] > 0.5).sum())
        return seen / sound.shape[-1]

    def _network(self, file: str, card: str) -> Any:
        if file not in self._networks:
            self._networks[file] = self._load(self.folder / file, card)
        return self._networks[file]

    def _load(self, path: Path, card: str) -> nn.Module:
        from omegaconf import OmegaConf

        if not path.is_file():
            raise ModelNotFoundError(f"{path} is missing; fetch it from facebook/audioseal")
        described: Any = OmegaConf.to_container(OmegaConf.load(str(files("audioseal") / "cards" / card)))
        described.pop("checkpoint", None)
        is_generator = card == GENERATOR[1]
        kind = self._builder.AudioSealWMConfig if is_generator else self._builder.AudioSealDetectorConfig
        make = self._builder.create_generator if is_generator else self._builder.create_detector
        config = self._package.AudioSeal.parse_config(described, config_type=kind, nbits=described["nbits"])
        network: nn.Module = make(config)
        state = read_torch(path)
        state = state.get("best_state", state) if isinstance(state, dict) else {}
        state = state.get("model", state)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(float("nan"))  # so that one that gets no weight shows
        try:
            self._loader.load_state_dict(network, state)
        except (RuntimeError, AttributeError, KeyError) as error:
            raise ModelError(f"{path} does not hold the weights that {card} describes ({error})") from error
        if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
            raise ModelError(f"{path} does not hold all weights of the network that {card} describes")
        return network.eval()


@contextmanager
def _eager() -> Iterator[None]:
    """Keep the package from compiling its layers, which takes minutes the first time."""
    torch.compiler.set_stance("force_eager")
    try:
        yield
    finally:
        torch.compiler.set_stance("default")
