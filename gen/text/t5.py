"""T5, the text encoder of the AudioGen paper (transformers' T5EncoderModel, frozen)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from ...core._torchaudio import shield_transformers
from ...core.errors import ModelError
from ...core.safetensors_files import check_folder, follow_umask
from .check_prompts import as_utf8, check_prompts
from .encoder import TextEncoder, TextStates, unread_end

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5EncoderModel

logger = logging.getLogger(__name__)


class T5TextEncoder(TextEncoder):
    """The encoder half of a T5 model, frozen and in float32 whatever the language model runs in.

    Build it with `from_pretrained`.

    Args:
        model: transformers' T5 encoder.
        tokenizer: its tokenizer.
        max_tokens: longer prompts are cut there, with a warning. T5 was trained on 512.
    """

    def __init__(
        self, model: T5EncoderModel, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int = 512
    ) -> None:
        super().__init__()
        self.model = model.float().eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.dim = int(model.config.d_model)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, max_tokens: int = 512, **kwargs: Any) -> Self:
        """Load a T5 by folder or hub id, in evaluation mode.

        Args:
            name: a folder with config.json, weights and tokenizer files, or a hub id such as "t5-large".
            max_tokens: see the class.
            kwargs: passed to transformers, for example `local_files_only` and `revision`.

        Raises:
            OSError: there is no such model, or it cannot be reached; the message names it.
        """
        # Importing transformers takes seconds, and the model that ships with soundloom does without.
        shield_transformers()
        from transformers import AutoTokenizer, T5EncoderModel

        try:
            if Path(name).is_dir():
                check_folder(Path(name))
            tokenizer = AutoTokenizer.from_pretrained(str(name), **kwargs)
            with _no_bars():
                model = T5EncoderModel.from_pretrained(str(name), dtype=torch.float32, **kwargs)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            if (
                isinstance(error, OSError) and not Path(name).exists()
            ):  # transformers tells of its own options
                reason = (
                    "there is no such folder, and no such model in the local cache or on the hub, if that "
                )
                reason += "can be reached"
            raise ModelError(
                f"cannot load the T5 text encoder {str(name)!r} ({reason}); "
                "give text_encoder= (--text-encoder) the path of a folder that holds the model and its "
                "tokenizer, the name of a model that ships (foley), or a hub id while you are online"
            ) from error
        return cls(model, tokenizer, max_tokens=max_tokens).eval()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model and its tokenizer in transformers' format."""
        self.model.save_pretrained(Path(folder))
        self.tokenizer.save_pretrained(Path(folder))
        follow_umask(Path(folder))

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: the encoder is frozen, so its dropout must stay off."""
        return super().train(False)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids int64 `[B, L]`, padded to the longest prompt, and mask int64 `[B, L]` (1 = real token).

        Each row ends with the end-of-sentence token. Rows of empty prompts have an all-zero mask.
        """
        texts = [as_utf8(prompt) if prompt.strip() else "" for prompt in check_prompts(prompts)]
        encoded = self.tokenizer(texts, truncation=True, max_length=self.max_tokens + 1, padding=False)
        rows: list[list[int]] = []
        for text, ids in zip(texts, encoded["input_ids"], strict=True):
            if len(ids) > self.max_tokens:
                logger.warning(
                    "the prompt %r is longer than %d tokens, the text encoder's limit; the rest is ignored",
                    text[:40] + "...",
                    self.max_tokens,
                )
                ids = [*ids[: self.max_tokens - 1], ids[-1]]
            rows.append(ids)
        # Pad to the longest; a row without text keeps its end-of-sentence token under a mask of zeros.
        length = max(map(len, rows), default=0)
        pad = self.tokenizer.pad_token_id or 0
        device = self.model.device
        ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows], device=device)  # [B, L]
        sizes = torch.tensor([len(row) if text else 0 for row, text in zip(rows, texts, strict=True)])
        mask = (torch.arange(length) < sizes[:, None]).to(device, torch.long)  # [B, L]
        return ids, mask

    def unread(self, prompt: str) -> str:
        text = as_utf8(prompt)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return unread_end(text, encoded["offset_mapping"], self.max_tokens - 1)  # the last ends the sentence

    @torch.no_grad()
    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The encoder's last hidden states `[B, L, D]`, padded positions included."""
        with torch.autocast(self.model.device.type, enabled=False):
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    def forward(self, prompts: Sequence[str]) -> TextStates:
        """Encode prompts; see `TextEncoder.forward`."""
        ids, mask = self.tokenize(prompts)
        real = mask.bool()
        return TextStates(self.hidden(ids, mask).masked_fill(~real.unsqueeze(-1), 0.0), real)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars: what is drawn is up to who calls."""
    from transformers.utils import logging as shown

    drawn = shown.is_progress_bar_enabled()
    shown.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            shown.enable_progress_bar()
