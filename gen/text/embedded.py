"""EmbeddedTextEncoder, that of the shipped model: frozen token vectors under a small trainable transformer.

The table is distilled once from a sentence encoder (`recipes/distil_token_table.py`), so words that were
never in a training caption still land near the ones that were. It stays int8: 7.8 MB for 30,522 tokens of 256
dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn

from ...core.checkpoint import CONFIG_FILE, part_folder, read_json
from ...core.diffusers_classes import ConfigMixin, ModelMixin, register_to_config
from ...core.errors import ModelError, ModelNotFoundError
from ...core.int8_storage import INT8, is_int8, load_int8, save_int8
from ...core.safetensors_files import SharedWeights, check_folder, load_safetensors
from .check_prompts import as_utf8, check_prompts
from .encoder import TextEncoder, TextStates, unread_end

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.json"
TABLE_FILE = "table.safetensors"


class EmbeddedTextEncoder(TextEncoder, SharedWeights, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """WordPiece tokens -> frozen static vectors -> pre-norm transformer -> states `[B, L, D]`.

    Prompts are cut to `max_tokens` with a logged warning. Padding is masked throughout, so a prompt's states
    do not depend on the batch that it is in. A prompt without any token (empty, whitespace, control
    characters only) gives a row of zeros under an all-False mask, which the language model reads as
    "unconditional".

    Start training from `from_table`, load a trained one with `from_pretrained`; the bare constructor leaves
    the table empty and is for those two.

    The table is two buffers, `table` int8 `[V, E]` and `scale` `[V]`: optimisers and `trainable_parameters`
    do not see them. Scales made by `recipes/distil_token_table.py` are exact in bfloat16, so casting the
    encoder to bfloat16, saving and loading it leaves the table as it was. Average parameters only when
    keeping an exponential moving average (`use_buffers=False`): averaging rounds integer buffers down.

    Args:
        vocab_size: V, rows of the table.
        table_dim: E, width of the table.
        dim: D, width of the transformer and of the states.
        num_layers: transformer layers.
        num_heads: attention heads, a divisor of dim.
        max_tokens: longest prompt, in tokens; L is at most this.
        dropout: dropout inside the transformer while training.
        word_dropout: probability of leaving a token out while training; a prompt keeps at least one.

    Raises:
        ValueError: an argument is out of range.
    """

    @register_to_config
    def __init__(
        self,
        *,
        vocab_size: int = 30522,
        table_dim: int = 256,
        dim: int = 256,
        num_layers: int = 2,
        num_heads: int = 4,
        max_tokens: int = 64,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("vocab_size", vocab_size), ("table_dim", table_dim), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"{name} is {value}, must be at least 1")
        if num_heads < 1 or dim < 1 or dim % num_heads:
            raise ValueError(
                f"dim is {dim} and num_heads {num_heads}; dim must be a positive multiple of num_heads"
            )
        for name, rate in (("dropout", dropout), ("word_dropout", word_dropout)):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} is {rate}, must be in 0..1 (1 excluded)")
        self.dim = dim
        self.max_tokens = max_tokens
        self.word_dropout = word_dropout
        self.tokenizer: Tokenizer | None = None
        self.table: Tensor
        self.scale: Tensor
        self.register_buffer("table", torch.zeros(vocab_size, table_dim, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(vocab_size))
        self.project = nn.Linear(table_dim, dim)
        self.position = nn.Parameter(0.02 * torch.randn(max_tokens, dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, num_heads, 4 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def untrained(self, **settings: Any) -> Self:
        """A new encoder, ready to train, over this one's table; `settings` as for `from_table`."""
        encoder = type(self)(vocab_size=self.table.shape[0], table_dim=self.table.shape[1], **settings)
        encoder.table.copy_(self.table)
        encoder.scale.copy_(self.scale)
        encoder.tokenizer = self.tokenizer
        return encoder

    @classmethod
    def from_table(cls, folder: str | Path, **settings: Any) -> Self:
        """A new encoder, ready to train, over the table in `folder` (see recipes/distil_token_table.py).

        Args:
            folder: holds table.safetensors and tokenizer.json.
            **settings: arguments of the constructor other than vocab_size and table_dim.

        Raises:
            FileNotFoundError: a file is missing.
            OSError: the table can't be read.
            ValueError: the files do not fit together.
        """
        folder = Path(folder)
        hint = f"make the table with: soundloom distil-text {folder}"
        if not (folder / TABLE_FILE).is_file():
            raise ModelNotFoundError(f"{folder / TABLE_FILE} is missing; {hint}")
        try:
            tensors = load_safetensors(folder / TABLE_FILE)
        except ModelError as error:
            raise ModelError(f"{error}; {hint}") from error
        table, scale = tensors.get("table"), tensors.get("scale")
        if table is None or scale is None or table.dtype != torch.int8 or scale.shape != table.shape[:1]:
            found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
            raise ModelError(
                f"{folder / TABLE_FILE} holds {found}, not table int8 [V, E] and scale [V]; {hint}"
            )
        encoder = cls(vocab_size=table.shape[0], table_dim=table.shape[1], **settings)
        encoder.table.copy_(table)
        encoder.scale.copy_(scale)
        encoder.tokenizer = _read_tokenizer(folder, table.shape[0])
        return encoder

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name: str | Path, *, torch_dtype: torch.dtype = torch.float32, **options: Any
    ) -> Self:
        """Load a trained encoder by folder or bundled name, in evaluation mode; never goes online.

        Args:
            name: a folder that holds config.json, diffusion_pytorch_model.safetensors and tokenizer.json; or
                an AudioGen with such a folder, by its own folder or bundled name ("foley").
            torch_dtype: type of the transformer's weights, whatever they are stored as; the table stays int8.
            **options: passed to diffusers' ModelMixin.from_pretrained; `revision` and `local_files_only`, as
                every text encoder takes them, change nothing.

        Raises:
            FileNotFoundError: the folder or a file in it is missing.
            OSError: the weights are damaged.
            ValueError: the tokenizer does not fit the table.
        """
        folder = part_folder(name, "text_encoder")
        for file in (CONFIG_FILE, TOKENIZER_FILE):
            if not (folder / file).is_file():
                raise ModelNotFoundError(
                    f"{folder / file} is missing; give a folder that save_pretrained wrote"
                )
        options = {"low_cpu_mem_usage": False, "use_safetensors": True} | options | {"local_files_only": True}
        config = read_json(folder / CONFIG_FILE)
        try:
            check_folder(folder)
            loaded: Any
            if is_int8(config):
                encoder = cls(**{key: config[key] for key in cls._get_init_keys(cls) & config.keys()})
                load_int8(encoder, folder)
                loaded = encoder.eval(), {"missing_keys": []}
            else:
                loaded = super().from_pretrained(folder, output_loading_info=True, **options)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"the text encoder's weights in {folder} are missing, damaged or do not fit its config.json;"
                f" copy or download the folder again ({error})"
            ) from error
        encoder, report = loaded
        if report["missing_keys"]:
            raise ModelError(
                f"the text encoder's weights in {folder} lack {', '.join(sorted(report['missing_keys']))}"
            )
        # nn.Module's own `to` casts floating tensors only, the table stays int8; diffusers' logs a warning.
        nn.Module.to(encoder, torch_dtype)
        encoder.register_to_config(_name_or_path=folder.name)  # not the machine's full path
        encoder.tokenizer = _read_tokenizer(folder, encoder.table.shape[0])
        return encoder

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, *, weights: str = "float", **options: Any
    ) -> None:
        """Write config.json, safetensors (table int8) and tokenizer.json.

        Args:
            save_directory: the folder.
            weights: "float" stores the transformer in the type that it has now, "int8" with one scale a row.
            **options: passed to diffusers' ModelMixin.save_pretrained; not with "int8".

        Raises:
            ModelError: `weights` is another.
            RuntimeError: the encoder was built without a tokenizer.
        """
        tokenizer = self._tokenizer()
        if weights == INT8:
            save_int8(self, save_directory)
        elif weights == "float":
            super().save_pretrained(save_directory, **options)
        else:
            raise ModelError(f"weights is {weights!r}; use 'float' or 'int8'")
        (Path(save_directory) / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that training changes: the transformer's, never the table."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def tokenize(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, without special tokens, cut to `max_tokens`; no ids for an empty prompt.

        Raises:
            TypeError: prompts is a single string, or holds something that is not a string.
        """
        tokenizer = self._tokenizer()
        rows = []
        for prompt in check_prompts(prompts):
            ids = tokenizer.encode(as_utf8(prompt), add_special_tokens=False).ids
            if len(ids) > self.max_tokens:
                logger.warning(
                    "prompt of %d tokens cut to its first %d: %r...", len(ids), self.max_tokens, prompt[:40]
                )
            rows.append(ids[: self.max_tokens])
        return rows

    def unread(self, prompt: str) -> str:
        text = as_utf8(prompt)
        encoded = self._tokenizer().encode(text, add_special_tokens=False)
        return unread_end(text, encoded.offsets, self.max_tokens)

    def static_vectors(self, ids: Tensor) -> Tensor:
        """Rows of the frozen table for token ids `[...]`: float32 `[..., E]`."""
        return self.table[ids].float() * self.scale[ids].float().unsqueeze(-1)

    def mean_vectors(self, prompts: Sequence[str]) -> Tensor:
        """Average static vector of each prompt, float32 `[B, E]`; zeros for an empty prompt.

        Cosine similarity between rows tells how close prompts are in meaning, without any training.
        """
        ids, mask = self._pad(self.tokenize(prompts))
        vectors = self.static_vectors(ids) * mask.unsqueeze(-1)  # [B, L, E], zero where padded
        return vectors.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)

    def forward(self, prompts: Sequence[str]) -> TextStates:
        """Encode B prompts: states float32 `[B, L, D]` and mask bool `[B, L]`, L at least 1.

        Raises:
            TypeError: prompts is not a sequence of strings.
            ValueError: prompts is empty.
            RuntimeError: the encoder was built without a tokenizer.
        """
        rows = self.tokenize(prompts)
        if not rows:
            raise ValueError('prompts is empty, must hold at least one; give [""] for no condition')
        if self.training and self.word_dropout > 0:
            rows = [self._drop_words(row) for row in rows]
        ids, mask = self._pad(rows)
        # Static vectors [B, L, E] to the transformer's width, and where each token stands.
        states = self.project(self.static_vectors(ids).to(self.project.weight.dtype))  # [B, L, D]
        states = states + self.position[: ids.shape[1]]
        # A row without tokens would leave softmax nothing to attend to (NaN): let it see its first padding.
        visible = mask.clone()
        visible[:, 0] = True
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=~visible)
        # Padding, and the row without tokens, is exactly zero again.
        states = self.norm(states).float().masked_fill(~mask.unsqueeze(-1), 0.0)
        return TextStates(states=states, mask=mask)

    def _pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids int64 `[B, L]` and mask bool `[B, L]`, L the longest row and at least 1."""
        length = max([1, *map(len, rows)])
        padded = [row + [0] * (length - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.int64).view(-1, length)  # [B, L], also for no rows
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        mask = torch.arange(length) < lengths.unsqueeze(1)
        return ids.to(self.table.device), mask.to(self.table.device)

    def _drop_words(self, row: list[int]) -> list[int]:
        """The token ids of a prompt without those that chance leaves out; never none."""
        keep = torch.rand(len(row)) >= self.word_dropout
        return [token for token, kept in zip(row, keep.tolist(), strict=True) if kept] or row

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RuntimeError(
                "this EmbeddedTextEncoder has no tokenizer and an empty table; make it with"
                " from_table(folder) or from_pretrained(folder)"
            )
        return self.tokenizer


def _read_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ModelNotFoundError(f"{path} is missing; it belongs beside the table")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(f"{path} is damaged ({error}); copy or download it again") from error
    if tokenizer.get_vocab_size() != vocab_size:
        raise ModelError(
            f"{path} knows {tokenizer.get_vocab_size()} tokens, but the table has {vocab_size} rows; both"
            " files must come from the same folder"
        )
    return tokenizer
