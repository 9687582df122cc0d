"""A small model runs on one thread; the caller, between its steps and after them, on its own number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from soundloom.core import threads
from soundloom.gen.generation import CodeGenerator, GenerationCancelled
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.encoder import TextStates


@pytest.fixture
def seen(tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """The numbers of threads that the parts of the model ran with, on two cores where nobody has chosen."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_USUAL", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    numbers: set[int] = set()
    parts = [tiny_model.lm, tiny_model.text_encoder, tiny_model.codec]
    modules = [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]
    hooks = [m.register_forward_hook(lambda *_: numbers.add(torch.get_num_threads())) for m in modules]
    yield numbers
    for hook in hooks:
        hook.remove()
    torch.set_num_threads(before)


def test_generate(tiny_model: AudioGen, seen: set[int]) -> None:
    tiny_model.generate("a dog", duration=0.3, seed=0)
    assert seen == {1}
    assert torch.get_num_threads() == 2


def test_stream(tiny_model: AudioGen, seen: set[int]) -> None:
    between = {torch.get_num_threads() for _ in tiny_model.stream("a dog", duration=1.0, chunk_seconds=0.1)}
    assert seen == {1}
    assert between == {2}


def test_a_cancelled_generation(tiny_model: AudioGen, seen: set[int]) -> None:
    with pytest.raises(GenerationCancelled):
        tiny_model.generate("a dog", duration=1.0, cancel=lambda: bool(seen))
    assert torch.get_num_threads() == 2


def test_a_number_that_the_caller_set(tiny_model: AudioGen, seen: set[int]) -> None:
    torch.set_num_threads(3)
    tiny_model.generate("a dog", duration=0.3, seed=0)
    assert seen == {3}


def test_many_rows_are_spread(tiny_model: AudioGen, seen: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model.lm
    monkeypatch.setattr(threads, "SMALL_STEP", 6 * sum(p.numel() for p in lm.parameters()))
    for rows, expected in ((2, 1), (3, 2)):  # with guidance twice as many
        text = TextStates(torch.randn(rows, 3, lm.text_dim), torch.ones(rows, 3, dtype=torch.bool))
        seen.clear()
        with torch.inference_mode():
            CodeGenerator(lm, text, max_frames=4).generate(4, lambda logits: logits.argmax(-1))
        assert seen == {expected}
