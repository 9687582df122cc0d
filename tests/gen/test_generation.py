"""The decoding loop: windows, prompts, progress, and which halves of a guided batch are run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.gen.generation import CodeGenerator, GenerationCancelled
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.sampling import Sampler
from soundloom.gen.settings import GenerationSettings
from soundloom.gen.text.encoder import TextStates


@pytest.fixture(params=["delay", "parallel", "flattened"])
def lm(request: pytest.FixtureRequest) -> AudioLM:
    torch.manual_seed(0)
    return AudioLM(
        num_codebooks=3,
        codebook_size=16,
        dim=16,
        num_layers=2,
        num_heads=2,
        text_dim=8,
        pattern=request.param,
    ).eval()


def text(rows: int = 2) -> TextStates:
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(rows, 4, 8, generator=generator)
    return TextStates(states, torch.ones(rows, 4, dtype=torch.bool))


def greedy(logits: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


@torch.inference_mode()
def test_greedy_window_equals_decoding_without_a_cache(lm: AudioLM) -> None:
    """Every code is the likeliest given those before it, recomputed from scratch with guidance."""
    states, frames, scale = text(), 7, 2.5
    found = CodeGenerator(lm, states, max_frames=frames, guidance_scale=scale).generate(frames, greedy)
    null = states.null()
    sequence = lm.pattern.build(found, special=lm.special_token)
    conditional = lm.start(states.states, states.mask, 100)
    unconditional = lm.start(null.states, null.mask, 100)
    for k in range(3):
        for t in range(frames):
            step = lm.pattern.step_of(k, t)
            for state in (conditional, unconditional):
                state.reset()
            c = lm.step(sequence[:, :, :step], conditional)[:, k]
            u = lm.step(sequence[:, :, :step], unconditional)[:, k]
            assert torch.equal((u + scale * (c - u)).argmax(dim=-1), found[:, k, t])


@torch.inference_mode()
def test_a_greedy_prefix_continues_into_the_same_codes(lm: AudioLM) -> None:
    generator = CodeGenerator(lm, text(), max_frames=10)
    whole = generator.generate(10, greedy)
    for given in (1, 4, 9):
        assert torch.equal(generator.generate(10, greedy, prompt=whole[:, :, :given]), whole)


@torch.inference_mode()
def test_windows_are_those_of_the_reference(lm: AudioLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    real = CodeGenerator._window

    def spy(self: CodeGenerator, codes: Tensor, given: int, *rest: Any) -> Iterator[int]:
        seen.append((given, codes.shape[-1]))
        return real(self, codes, given, *rest)

    monkeypatch.setattr(CodeGenerator, "_window", spy)
    generator = CodeGenerator(lm, text(1), max_frames=50)
    for frames, windows in (
        (50, [(0, 50)]),
        (60, [(0, 50), (40, 50)]),
        (75, [(0, 50), (40, 50), (40, 50), (40, 45)]),
    ):
        seen.clear()
        codes = generator.generate(frames, greedy, stride=10)
        assert codes.shape == (1, 3, frames)
        assert seen == windows


@torch.inference_mode()
def test_each_window_continues_the_one_before(lm: AudioLM) -> None:
    generator = CodeGenerator(lm, text(), max_frames=10)
    codes = generator.generate(16, greedy, stride=4)
    first = generator.generate(10, greedy)
    second = generator.generate(10, greedy, prompt=first[:, :, 4:])
    third = generator.generate(8, greedy, prompt=second[:, :, 4:])
    assert torch.equal(codes, torch.cat([first, second[:, :, 6:], third[:, :, 6:]], dim=-1))


@torch.inference_mode()
@pytest.mark.parametrize("given", [3, 10, 13])
def test_a_prompt_of_any_length_stays_and_is_continued(lm: AudioLM, given: int) -> None:
    prompt = torch.randint(0, 16, (2, 3, given), generator=torch.Generator().manual_seed(1))
    generator = CodeGenerator(lm, text(), max_frames=10)
    codes = generator.generate(18, greedy, stride=4, prompt=prompt)
    assert codes.shape == (2, 3, 18)
    assert torch.equal(codes[:, :, :given], prompt)
    if given >= 10:  # the last 6 frames are the context of the first window
        window = generator.generate(10, greedy, prompt=prompt[:, :, -6:])
        assert torch.equal(codes[:, :, given : given + 4], window[:, :, 6:])


@torch.inference_mode()
@pytest.mark.parametrize("given", [0, 3])
def test_progress_rises_from_window_to_window_to_the_end(lm: AudioLM, given: int) -> None:
    calls: list[tuple[int, int]] = []
    prompt = torch.zeros(1, 3, given, dtype=torch.long)
    generator = CodeGenerator(lm, text(1), max_frames=8)
    generator.generate(
        20, greedy, stride=3, prompt=prompt, progress=lambda done, total: calls.append((done, total))
    )
    done = [call[0] for call in calls]
    assert {call[1] for call in calls} == {20 - given}
    assert done == sorted(done)
    assert done[-1] == 20 - given
    assert set(done) >= set(range(1, 21 - given))


@torch.inference_mode()
@pytest.mark.parametrize(("scale", "rows"), [(0.0, 2), (1.0, 2), (3.0, 4)])
def test_a_half_that_cannot_matter_is_not_run(lm: AudioLM, scale: float, rows: int) -> None:
    generator = CodeGenerator(lm, text(), max_frames=5, guidance_scale=scale)
    assert generator.state.rows == rows
    unguided = CodeGenerator(lm, text().null(), max_frames=5, guidance_scale=scale)
    assert unguided.state.rows == 2
    if scale == 0.0:
        assert torch.equal(generator.generate(5, greedy), unguided.generate(5, greedy))


@torch.inference_mode()
def test_one_cache_serves_every_window_and_is_given_back(lm: AudioLM) -> None:
    generator = CodeGenerator(lm, text(), max_frames=6)
    memory = generator.state.cache.memory[0].data_ptr()
    generator.generate(
        15, Sampler(GenerationSettings(top_k=5), seeds=[1, 2], num_codebooks=3, codebook_size=16), stride=2
    )
    assert generator.state.cache.memory[0].data_ptr() == memory
    generator.close()
    assert generator.state.cache.memory == []


@torch.inference_mode()
def test_frames_are_final_as_soon_as_they_are_said_to_be_complete(lm: AudioLM) -> None:
    generator = CodeGenerator(lm, text(), max_frames=8)
    prompt = torch.randint(0, 16, (2, 3, 3), generator=torch.Generator().manual_seed(1))
    whole = generator.generate(20, greedy, stride=3, prompt=prompt)
    codes, given = generator.buffer(20, prompt)
    counts = []
    for done in generator.extend(codes, given, 3, greedy):
        counts.append(done)
        assert torch.equal(codes[:, :, :done], whole[:, :, :done])
    assert counts == sorted(counts)
    assert counts[0] >= 3
    assert counts[-1] == 20


@torch.inference_mode()
def test_cancelling_is_asked_before_every_step(lm: AudioLM) -> None:
    asked = 0

    def cancel() -> bool:
        nonlocal asked
        asked += 1
        return asked == 4

    generator = CodeGenerator(lm, text(), max_frames=10, cancel=cancel)
    codes, given = generator.buffer(10, None)
    steps = 0
    with pytest.raises(GenerationCancelled):
        for _ in generator.extend(codes, given, 5, greedy):
            steps += 1
    assert steps == 3
