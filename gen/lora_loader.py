"""LoRA adapters of an AudioGen: loaded from small files, several at once, each at a strength.

Names and meanings are those of diffusers' pipelines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

from ..core.errors import ArgumentError, ModelNotFoundError
from ..core.hub import GEN_MODELS, HUB_ID, resolve_model
from .model.adapted_linear import LowRank, remove_adapters, set_adapters
from .model.lm import AudioLM
from .model.lora_file import SUFFIX, LoRAWeights
from .settings import check_strength

# What diffusers calls the file of an adapter in a folder or a repository of the hub.
WEIGHT_NAME = "pytorch_lora_weights.safetensors"
_NOT_IN_NAMES = r"[^\w.+ -]"


class LoRALoader:
    """The part of `AudioGen` that loads LoRA adapters.

    They stay beside the language model's own weights, which may be quantized, and change nothing of them:
    without an adapter, or with all of them at strength 0, the model is what it was, to the bit. A stream that
    has begun goes on with the adapters that it began with.
    """

    lm: AudioLM
    _adapters: dict[str, LoRAWeights]
    _strengths: dict[str, float]

    def load_lora_weights(
        self,
        path: str | os.PathLike[str],
        *,
        adapter_name: str | None = None,
        strength: float = 1.0,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> str:
        """Load an adapter and use it, beside those that are in use.

        Args:
            path: a file, as `soundloom export --lora` writes it, or a folder or hub id that holds one as
                pytorch_lora_weights.safetensors.
            adapter_name: what to call it, in letters, digits, spaces and . + - _; None: as the file, without
                its ending, and _ for what a name cannot have.
            strength: 1 is as it was trained, 0 is without; more exaggerates, less than 0 turns away.
            revision: of a hub model.
            local_files_only: never go online.

        Returns:
            The adapter's name.

        Raises:
            FileNotFoundError, ModelError: no such file, a damaged one, or an adapter of another model.
            ArgumentError: the name is taken, or the strength is out of range.
        """
        file = _find(path, revision=revision, local_files_only=local_files_only)
        named = Path(path).name if file.name == WEIGHT_NAME else file.stem
        name = re.sub(_NOT_IN_NAMES, "_", named) if adapter_name is None else adapter_name
        if not name or re.search(_NOT_IN_NAMES, name):
            raise ArgumentError(f"an adapter can't be called {name!r}: use letters, digits, and . + - _")
        adapters, strengths = self._loaded()
        if name in adapters:
            raise ArgumentError(
                f"an adapter named {name!r} is loaded already: for another strength of it use set_adapters; "
                f"is {os.fspath(path)} another one, give it another name (adapter_name, or rename it)"
            )
        wanted = strengths | {name: check_strength(name, strength)}
        weights = LoRAWeights.load(file)
        weights.check_fits(self.lm, str(file))
        adapters[name] = weights
        self._use(wanted)
        return name

    def set_adapters(
        self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] = 1.0
    ) -> None:
        """Use these of the loaded adapters, at these strengths, and no others.

        Args:
            adapter_names: one name or several.
            adapter_weights: a strength for each, or one for all.

        Raises:
            ArgumentError: there is no such adapter, or the numbers do not fit.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        one = isinstance(adapter_weights, Real)
        strengths = [adapter_weights] * len(names) if one else list(adapter_weights)  # type: ignore[arg-type]
        adapters, _ = self._loaded()
        if unknown := [name for name in names if name not in adapters]:
            known = ", ".join(map(repr, adapters)) or "none"
            raise ArgumentError(f"there is no adapter {unknown[0]!r}; loaded are: {known}")
        if len(strengths) != len(names) or len(set(names)) != len(names):
            raise ArgumentError(
                f"there are {len(names)} adapters and {len(strengths)} strengths; give one for each, every "
                "name once"
            )
        pairs = zip(names, strengths, strict=True)
        self._use({name: check_strength(name, strength) for name, strength in pairs})  # type: ignore[arg-type]

    @property
    def active_adapters(self) -> Mapping[str, float]:
        """The strengths of the adapters in use, by name; those at 0 are not."""
        return {name: strength for name, strength in self._loaded()[1].items() if strength}

    def get_list_adapters(self) -> list[str]:
        """The names of the loaded adapters, whether in use or not."""
        return list(self._loaded()[0])

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Forget loaded adapters; ArgumentError where there is none of a name."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        adapters, strengths = self._loaded()
        if unknown := [name for name in names if name not in adapters]:
            known = ", ".join(map(repr, adapters)) or "none"
            raise ArgumentError(f"there is no adapter {unknown[0]!r}; loaded are: {known}")
        for name in names:
            del adapters[name]
        self._use({name: value for name, value in strengths.items() if name not in names})

    def unload_lora_weights(self) -> None:
        """Forget all adapters: the model is what it was."""
        self.delete_adapters(self.get_list_adapters())

    def _loaded(self) -> tuple[dict[str, LoRAWeights], dict[str, float]]:
        """Adapters and strengths; none before the first was loaded."""
        if not hasattr(self, "_adapters"):
            self._adapters, self._strengths = {}, {}
        return self._adapters, self._strengths

    def _use(self, strengths: dict[str, float]) -> None:
        """Put the adapters beside the layers, at these strengths."""
        self._strengths = strengths
        remove_adapters(self.lm)
        layers: dict[str, list[LowRank]] = {}
        for name, strength in strengths.items():
            for layer, part in self._adapters[name].parts(strength) if strength else ():
                layers.setdefault(layer, []).append(part)
        set_adapters(self.lm, layers)


def _find(path: str | os.PathLike[str], *, revision: str | None, local_files_only: bool) -> Path:
    """The file of an adapter: itself, or in a folder or a repository of the hub."""
    text = os.fspath(path)
    found = Path(text).expanduser()
    if found.is_file() or found.suffix == SUFFIX:
        return found
    if not found.is_dir():
        if not HUB_ID.fullmatch(text):
            raise ModelNotFoundError(
                f"no such file: {text}; give an adapter's {SUFFIX} file, its folder or a hub id 'owner/name'"
            )
        options = {"revision": revision, "local_files_only": local_files_only}
        found = resolve_model(text, GEN_MODELS, allow_patterns=(WEIGHT_NAME,), **options)  # type: ignore[arg-type]
    if not (found / WEIGHT_NAME).is_file():
        raise ModelNotFoundError(f"{text} holds no LoRA adapter ({WEIGHT_NAME}); give the file itself")
    return found / WEIGHT_NAME
