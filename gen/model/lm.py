"""AudioLM: the language model over codes. Text states in, logits of the next codes out.

Source: AudioGen (Kreuk et al. 2023) with the delayed pattern of MusicGen (Copet et al. 2023). Letters:
B batch, K codebooks, V codes a codebook, T frames, S steps, L text positions, D text width, d model width.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.checkpoint import (
    BUNDLED_MODELS,
    CONFIG_FILE,
    MODEL_FILES,
    fill,
    part_folder,
    read_json,
    read_weights,
)
from ...core.diffusers_classes import ConfigMixin, ModelMixin
from ...core.errors import ModelError
from ...core.hub import resolve_model
from ...core.int8_storage import STORAGE_KEY, is_int8, load_int8
from ...core.safetensors_files import SharedWeights
from ...core.unfilled import unfilled
from .config import AudioLMConfig
from .fastest import fastest_scheme
from .infill import PARTS, InfillSteps
from .schemes import (
    AUTO,
    QUANTIZATION_KEY,
    check_scheme,
    check_writable,
    folder_weights,
    is_quantized,
    load_quantized,
    stored_scheme,
)
from .step import DecodingMemory, TransformerStep
from .token_dropout import drop_tokens
from .transformer import Condition, KVCache, Transformer, truncated_normal_

# Positions that attention on CPUs sums in one go.
TEXT_BLOCK = 16


@dataclass
class LMOutput:
    """Teacher-forced predictions, sorted by the code they predict.

    Attributes:
        logits: `[B, K, T, V]`, zero where `mask` is false.
        mask: bool `[B, K, T]`, false where the pattern leaves a code without prediction.
    """

    logits: Tensor
    mask: Tensor


@dataclass
class DecodeState:
    """What one step-wise decoding remembers: projected condition and cache, of `rows` rows each.

    Attributes:
        single: runs single steps where there is a faster way than the transformer's own.
        memory: condition and cache as single steps read them.
        tables: int64 `[K]`, where each codebook's vectors begin in the embedding.
    """

    condition: Condition
    cache: KVCache
    rows: int
    tables: Tensor
    single: TransformerStep | None
    memory: DecodingMemory

    def reset(self) -> None:
        """Start again at step 0 with the same condition and memory."""
        self.cache.reset()

    def close(self) -> None:
        """Give the cache's memory back."""
        self.single = None
        self.memory.close()
        self.cache.close()


class AudioLM(SharedWeights, ModelMixin, ConfigMixin):
    """Decoder-only transformer over K code streams with cross attention to text.

    Args:
        config: sizes; None: those of AudioLMConfig.
        settings: fields of AudioLMConfig, in place of those of `config`: `AudioLM(dim=256, num_layers=6)`.

    Raises:
        ArgumentError: a size is out of range.
        TypeError: AudioLMConfig has no such field.
    """

    config_name = "config.json"
    _supports_gradient_checkpointing = True

    def __init__(self, config: AudioLMConfig | None = None, **settings: Any) -> None:
        super().__init__()
        config = replace(config or AudioLMConfig(), **settings)
        self.register_to_config(**asdict(config))  # what save_pretrained writes
        self.settings = config
        self.num_codebooks, self.codebook_size = config.num_codebooks, config.codebook_size
        self.text_dim, self.token_dropout = config.text_dim, config.token_dropout
        self.pattern = config.code_pattern()
        # One table and one head matrix for all codebooks: one gather and one product a step instead of K.
        self.embedding = nn.Embedding(config.num_codebooks * (config.codebook_size + 1), config.dim)
        self.text_projection = nn.Linear(config.text_dim, config.dim)
        self.transformer = Transformer(
            dim=config.dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            ffn_dim=config.feed_forward_dim,
            dropout=config.dropout,
            bias_attention=config.bias_attention,
            bias_ffn=config.bias_ffn,
        )
        self.heads = nn.Linear(
            config.dim, config.num_codebooks * config.codebook_size, bias=config.bias_heads
        )
        self.infill_frames = config.infill_frames
        # One vector a part, and one for each number of frames that are left, 0 included.
        self.infill = None
        if config.infill_frames:
            self.infill = nn.Embedding(PARTS + config.infill_frames + 1, config.dim)
        self.reset_parameters()

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """ConfigMixin asks for the constructor's arguments: they are the fields of the configuration."""
        return {"self", *(field.name for field in fields(AudioLMConfig))}

    @property
    def special_token(self) -> int:
        """The token that fills places without a code."""
        return self.codebook_size

    def reset_parameters(self) -> None:
        """Initialise as AudioGen does: truncated normals of std 1/sqrt(fan_in), deeper layers smaller."""
        std = 1.0 / math.sqrt(self.embedding.embedding_dim)
        truncated_normal_(self.embedding.weight, std)
        truncated_normal_(self.heads.weight, std)
        if self.heads.bias is not None:
            nn.init.zeros_(self.heads.bias)
        if self.infill is not None:
            truncated_normal_(self.infill.weight, std)
        self.text_projection.reset_parameters()
        self.transformer.reset_parameters()

    def project_text(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """The condition: text states `[B, L, D]` to `[B, L, d]`, exactly zero where mask `[B, L]` is false.

        Raises:
            ValueError: the states do not have the width that the model was built for.
        """
        if states.ndim != 3 or states.shape[-1] != self.text_dim:
            raise ValueError(
                f"text states have shape {list(states.shape)}; this model wants [B, L, {self.text_dim}], "
                "so it needs the text encoder that it was trained with"
            )
        condition = self.text_projection(states.to(self.text_projection.weight.dtype))
        if mask is not None:
            # Selecting, not multiplying: states of padded positions may be anything, even NaN.
            condition = condition.masked_fill(~mask.bool().unsqueeze(-1), 0.0)
        return condition

    def condition(
        self, states: Tensor, mask: Tensor | None, *, attend_padding: bool = False, project: bool = True
    ) -> Condition:
        """Project text once for every layer.

        Args:
            states: `[B, L, D]`.
            mask: bool `[B, L]`, true for real tokens; None: all are.
            attend_padding: let padded positions take part in attention as zero vectors, as the reference
                implementation does; a prompt's result then depends on the longest prompt of its batch.
            project: see `Transformer.condition`.
        """
        if states.shape[1] == 0:
            states = states.new_zeros(states.shape[0], 1, states.shape[2])
            mask = states.new_zeros(states.shape[:2], dtype=torch.bool)
        elif mask is not None and not attend_padding and is_quantized(self):
            # So that a row's sums over the text are added up alike however long the longest text is.
            room = -states.shape[1] % TEXT_BLOCK
            states, mask = F.pad(states, (0, 0, 0, room)), F.pad(mask, (0, room))
        projected = self.project_text(states, mask)
        hidden = None if mask is None or attend_padding else mask.bool()
        return self.transformer.condition(projected, hidden, project=project)

    def forward(
        self,
        codes: Tensor,
        states: Tensor,
        mask: Tensor | None = None,
        *,
        attend_padding: bool = False,
        gaps: InfillSteps | None = None,
    ) -> LMOutput:
        """Predict every code from the ones before it (teacher forcing).

        Args:
            codes: int64 `[B, K, T]`.
            states: `[B, L, D]`.
            mask: bool `[B, L]` or None.
            attend_padding: see `condition`.
            gaps: the same codes laid out with a gap in each item; every code is then predicted.

        Raises:
            ValueError: there are gaps, but the model has no weights for them.
        """
        frames = codes.shape[-1]
        if gaps is None:
            # Lay the codes out in steps, each codebook at its delay.
            sequence = self.pattern.build(codes, special=self.special_token)
            sequence = sequence[:, :, : self.pattern.teacher_steps(frames)]  # [B, K, S]
        else:
            sequence = gaps.tokens  # [B, K, S]
        sequence = drop_tokens(sequence, self.token_dropout if self.training else 0.0, self.special_token)
        # Each layer projects the text itself: here every layer runs once.
        condition = self.condition(states, mask, attend_padding=attend_padding, project=False)
        x = self._embed(sequence, self._tables(sequence.device))  # [B, S, d]
        if gaps is not None:
            x = x + self.infill_vectors(gaps.parts, gaps.left)
        hidden = self.transformer(x, condition)  # [B, S, d]
        # Sort what was predicted at each step by the code that it predicts.
        logits = self.heads(hidden).unflatten(-1, (self.num_codebooks, self.codebook_size))  # [B, S, K, V]
        if gaps is not None:
            return LMOutput(gaps.align(logits), gaps.mask)
        aligned, valid = self.pattern.align(logits, frames)  # [B, K, T, V], [K, T]
        return LMOutput(aligned, valid.unsqueeze(0).expand(codes.shape[0], -1, -1))

    def start(
        self, states: Tensor, mask: Tensor | None, max_steps: int, *, attend_padding: bool = False
    ) -> DecodeState:
        """Prepare step-wise decoding of at most `max_steps` steps for the rows of `states [B, L, D]`."""
        condition = self.condition(states, mask, attend_padding=attend_padding)
        rows = states.shape[0]
        cache = self.transformer.new_cache(rows, max_steps)
        single = TransformerStep.plain(self.transformer)
        memory = DecodingMemory(condition, cache, self.transformer.num_heads)
        return DecodeState(condition, cache, rows, self._tables(states.device), single, memory)

    def infill_vectors(self, parts: Tensor, left: Tensor) -> Tensor:
        """What is added to the input of steps `[B, S]` of examples with a gap: `[B, S, d]`.

        Raises:
            ValueError: the model has no weights for gaps.
        """
        if self.infill is None:
            raise ValueError(
                "this model was not trained to fill gaps (infill_frames is 0); train one with infill set"
            )
        return self.infill(parts) + self.infill(PARTS + left.clamp_max(self.infill_frames))

    def step(self, tokens: Tensor, state: DecodeState, gaps: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Feed the next steps and predict the one after them.

        Args:
            tokens: int64 `[B, K, S]`. When the state has 2 B rows (guidance), they serve both halves.
            state: from `start`; it advances by S steps.
            gaps: `InfillSteps.parts` and `.left` of these steps, `[B, S]` each; None: not filling a gap.

        Returns:
            Logits `[rows, K, V]`.

        Raises:
            ValueError: the state is full.
        """
        x = self.embed(tokens, state, gaps)  # [rows, S, d]
        if state.single is not None and x.shape[1] == 1 and not torch.is_grad_enabled():
            last = state.single(x[:, 0], state.memory)  # [rows, d]
        else:
            last = self.transformer(x, state.condition, state.cache)[:, -1]  # [rows, d]
        return self.heads(last).view(state.rows, self.num_codebooks, self.codebook_size)

    def embed(self, tokens: Tensor, state: DecodeState, gaps: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The transformer's input `[rows, S, d]` of the steps that `step` is given, before positions."""
        x = self._embed(tokens, state.tables)  # [B, S, d]
        if gaps is not None:
            x = x + self.infill_vectors(*gaps)
        if state.rows == x.shape[0]:
            return x
        return torch.cat([x] * (state.rows // x.shape[0]))  # guidance: both halves have the same tokens

    def _tables(self, device: torch.device) -> Tensor:
        """Where each codebook's vectors begin in the embedding: int64 `[K]`."""
        return torch.arange(self.num_codebooks, device=device) * (self.codebook_size + 1)

    def _embed(self, tokens: Tensor, tables: Tensor) -> Tensor:
        """Sum of the K token vectors of each step: `[B, K, S]` -> `[B, S, d]`."""
        batch, codebooks, steps = tokens.shape
        # Each codebook has its own part of the table: [B, K, S] -> [B * S, K], rows of K vectors to add up.
        index = (tokens.transpose(1, 2) + tables).reshape(batch * steps, codebooks)
        return F.embedding_bag(index, self.embedding.weight, mode="sum").view(batch, steps, -1)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | os.PathLike[str],
        *,
        torch_dtype: torch.dtype = torch.float32,
        quantization: str | None = None,
        subfolder: str | None = None,
        mapped: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a folder, a bundled name ("foley") or a hub id.

        Args:
            name: of the language model, or of an AudioGen, whose language model is taken.
            torch_dtype: of the weights.
            quantization: how the weights are kept and multiplied, see `AudioGen.from_pretrained`.
            subfolder: of a folder: where in it the language model is.
            mapped: use the weight files of a folder where they lie (see `read_weights`); only for folders
                that nobody saves to again.
            revision: of a hub model.
            local_files_only: take hub models from the local cache only.

        Raises:
            FileNotFoundError, ValueError: no such model (the nearest names are listed), or a file of the
                folder is missing or damaged; the message names it.
            OSError: the hub cannot be reached.
        """
        check_scheme(quantization)
        local = Path(part_folder(name, "lm"), subfolder or "")
        if not local.is_dir():
            found = resolve_model(
                name,
                BUNDLED_MODELS,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=MODEL_FILES,
            )
            local = Path(part_folder(found, "lm"), subfolder or "")
        model, scheme, int8 = cls.described(local, quantization)
        if scheme is not None:
            if torch_dtype != torch.float32:
                raise ModelError(
                    f"dtype is {torch_dtype}, and the weights of {local} are {scheme}; leave dtype out"
                )
            load_quantized(model, folder_weights(local), scheme, local)
        elif int8:
            load_int8(model, local)
            # nn.Module.to, because that of diffusers warns about every change of dtype.
            model = nn.Module.to(model, torch_dtype)
        else:
            fill(model, read_weights(local, torch_dtype, mapped=mapped), local)
        return model.eval()

    @classmethod
    def described(cls, folder: Path, quantization: str | None = None) -> tuple[Self, str | None, bool]:
        """What a folder's config.json says, without its weights.

        Args:
            folder: of the language model.
            quantization: see `from_pretrained`.

        Returns:
            The model on the meta device, the scheme that it is to run in (None: none), and whether its
            weights are stored as int8 that stand for float32. ModelError where that cannot be.
        """
        file = folder / CONFIG_FILE
        config = read_json(file)
        stored, int8 = stored_scheme(config, file), is_int8(config)
        for key in (STORAGE_KEY, QUANTIZATION_KEY):
            config.pop(key, None)
        sizes = AudioLMConfig.from_json(config, str(file))
        with unfilled():  # no memory and no random numbers for weights that are replaced at once
            model = cls(sizes)
        if stored is not None:
            if quantization not in (None, AUTO, stored):
                raise ModelError(
                    f"{folder} is stored as {stored}, and quantization is {quantization!r}; leave that out, "
                    "or convert the original model (soundloom convert)"
                )
            return model, stored, int8
        return model, fastest_scheme(model) if quantization == AUTO else quantization, int8

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Write config.json and safetensors; arguments as in diffusers.

        Raises:
            ModelError: the model is quantized.
        """
        check_writable(self)
        super().save_pretrained(save_directory, *args, **options)
