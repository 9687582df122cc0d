"""Patterns: layout, round trip, alignment."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.gen.model.pattern import CodePattern, build_pattern

SPECIAL = 50


@st.composite
def patterns(draw: st.DrawFn) -> CodePattern:
    count = draw(st.integers(1, 6))
    kind = draw(st.sampled_from(["delay", "parallel", "flattened"]))
    if kind == "parallel":
        return CodePattern.parallel(count)
    if kind == "flattened":
        return CodePattern.flattened(count)
    return CodePattern.delayed(draw(st.lists(st.integers(0, 7), min_size=count, max_size=count)))


def random_codes(pattern: CodePattern, frames: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, SPECIAL, (batch, pattern.num_codebooks, frames), generator=generator)


def test_delayed_layout_as_in_the_paper() -> None:
    codes = torch.arange(4).repeat(1, 4, 1)
    s = SPECIAL
    assert CodePattern.delayed((0, 1, 2, 3)).build(codes, special=s)[0].tolist() == [
        [s, 0, 1, 2, 3, s, s, s],
        [s, s, 0, 1, 2, 3, s, s],
        [s, s, s, 0, 1, 2, 3, s],
        [s, s, s, s, 0, 1, 2, 3],
    ]


def test_flattened_and_parallel_layouts() -> None:
    codes = torch.tensor([[[1, 2], [3, 4]]])
    s = SPECIAL
    assert CodePattern.flattened(2).build(codes, special=s)[0].tolist() == [[s, 1, s, 2, s], [s, s, 3, s, 4]]
    assert CodePattern.parallel(2).build(codes, special=s)[0].tolist() == [[s, 1, 2], [s, 3, 4]]


@settings(max_examples=100, deadline=None)
@given(patterns(), st.integers(1, 20))
def test_round_trip(pattern: CodePattern, frames: int) -> None:
    codes = random_codes(pattern, frames)
    sequence = pattern.build(codes, special=SPECIAL)
    assert sequence.shape[-1] == pattern.num_steps(frames)
    assert torch.equal(pattern.revert(sequence, frames), codes)
    assert (sequence != SPECIAL).sum() == codes.numel()
    assert torch.equal(pattern.mask(frames), (sequence != SPECIAL)[0])
    assert bool((sequence[:, :, 0] == SPECIAL).all())


@settings(max_examples=100, deadline=None)
@given(patterns(), st.integers(1, 12), st.integers(0, 12))
def test_a_prompt_is_settled_up_to_its_first_open_step(pattern: CodePattern, frames: int, given: int) -> None:
    given = min(given, frames - 1)
    codes = random_codes(pattern, frames)
    full = pattern.build(codes, special=SPECIAL)
    part = pattern.build(codes[:, :, :given], frames, special=SPECIAL)
    start = pattern.first_step_after(given)
    assert torch.equal(part[:, :, :start], full[:, :, :start])
    assert bool((part[:, :, start] == -1).any())
    assert torch.equal(torch.where(part == -1, full, part), full)


@settings(max_examples=100, deadline=None)
@given(patterns(), st.integers(1, 12))
def test_alignment_sorts_outputs_by_the_code_they_predict(pattern: CodePattern, frames: int) -> None:
    codes = random_codes(pattern, frames)
    sequence = pattern.build(codes, special=SPECIAL)
    steps = pattern.teacher_steps(frames)
    # A model that knows the next step: its output at s is what sits at s + 1.
    perfect = sequence[:, :, 1:steps].transpose(1, 2)
    outputs = torch.cat([perfect, perfect.new_full((2, 1, pattern.num_codebooks), -7)], dim=1).unsqueeze(-1)
    aligned, mask = pattern.align(outputs, frames)
    assert torch.equal(aligned[..., 0], torch.where(mask, codes, 0))
    for k in range(pattern.num_codebooks):
        for t in range(frames):
            assert bool(mask[k, t]) == (pattern.step_of(k, t) < steps)


def test_teacher_forcing_drops_the_trailing_codes_of_late_codebooks() -> None:
    pattern = CodePattern.delayed((0, 1, 3))
    assert pattern.teacher_steps(5) == 6
    _, mask = pattern.align(torch.zeros(1, 6, 3, 2), 5)
    assert mask.sum(dim=-1).tolist() == [5, 4, 2]


@settings(max_examples=50, deadline=None)
@given(patterns(), st.integers(1, 10))
def test_complete_frames_counts_whole_columns(pattern: CodePattern, frames: int) -> None:
    sequence = pattern.build(random_codes(pattern, frames), special=SPECIAL)
    for steps in range(sequence.shape[-1] + 1):
        held = [
            t
            for t in range(frames)
            if all(pattern.step_of(k, t) < steps for k in range(pattern.num_codebooks))
        ]
        assert pattern.complete_frames(steps) == len(held)


def test_build_pattern_by_name() -> None:
    assert build_pattern("delay", 4) == CodePattern((0, 1, 2, 3))
    assert build_pattern("delay", 2, [0, 5]) == CodePattern((0, 5))
    assert build_pattern("flattened", 3).stride == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("diagonal", 4), "diagonal.*'delay', 'parallel' or 'flattened'"),
        (("delay", 4, [0, 1]), r"\[0, 1\].*4 codebooks"),
        (("parallel", 2, [0, 1]), "only the pattern 'delay'"),
        (("delay", 2, [0, -1]), "-1.*at least 0"),
        (("parallel", 0), "at least|empty"),
    ],
)
def test_bad_patterns_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_pattern(*arguments)


def test_wrong_shapes_are_named() -> None:
    pattern = CodePattern.parallel(3)
    with pytest.raises(ValueError, match=r"\[B, 3, T\]"):
        pattern.build(torch.zeros(1, 2, 4, dtype=torch.long), special=SPECIAL)
    with pytest.raises(ValueError, match="frames is 2"):
        pattern.build(torch.zeros(1, 3, 4, dtype=torch.long), 2, special=SPECIAL)
    with pytest.raises(ValueError, match="4 steps, but 9 frames need 10"):
        pattern.revert(torch.zeros(1, 3, 4, dtype=torch.long), 9)


@pytest.mark.parametrize("name", ["delay", "parallel", "flattened"])
def test_later_frames_alone_are_read_back_the_same(name: str) -> None:
    pattern = build_pattern(name, 3)
    codes = torch.randint(0, 9, (2, 3, 7), generator=torch.Generator().manual_seed(0))
    sequence = pattern.build(codes, special=9)
    for first in range(7):
        assert torch.equal(pattern.revert(sequence, 7, first=first), codes[:, :, first:])
        assert torch.equal(pattern.revert(sequence, first + 1, first=first), codes[:, :, first : first + 1])


@pytest.mark.parametrize("name", ["delay", "parallel", "flattened"])
def test_the_newest_frame_of_a_step_is_the_last_that_sits_there(name: str) -> None:
    pattern = build_pattern(name, 3)
    for step in range(1, pattern.num_steps(6)):
        begun = [t for t in range(9) for k in range(3) if pattern.step_of(k, t) <= step]
        assert pattern.newest_frame(step) == max(begun)


@pytest.mark.parametrize(
    ("name", "books", "delays"),
    [
        ("delay", 4, None),
        ("delay", 3, [0, 0, 2]),
        ("delay", 2, [1, 3]),
        ("parallel", 3, None),
        ("flattened", 3, None),
    ],
)
def test_a_padded_clip_has_the_predictions_that_it_has_alone(
    name: str, books: int, delays: list[int] | None
) -> None:
    pattern = build_pattern(name, books, delays)
    lengths = torch.arange(8)
    predicted = pattern.predicted(lengths, 7)
    assert predicted.shape == (8, books, 7)
    for length in range(8):
        alone = torch.zeros(books, 7, dtype=torch.bool)
        if length:
            outputs = torch.zeros(1, pattern.teacher_steps(length), books, 1)
            alone[:, :length] = pattern.align(outputs, length)[1]
        assert torch.equal(predicted[length], alone), length


@pytest.mark.parametrize(
    "pattern", [build_pattern("delay", 4), build_pattern("flattened", 3), CodePattern.delayed((2, 0, 5))]
)
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_aligned_outputs_and_their_gradient_are_those_of_the_steps(pattern: CodePattern, frames: int) -> None:
    books = pattern.num_codebooks
    outputs = torch.randn(2, pattern.num_steps(frames), books, 5, requires_grad=True)
    aligned, mask = pattern.align(outputs, frames)
    weights = torch.randn_like(aligned)
    (aligned * weights).sum().backward()
    gradient = torch.zeros_like(outputs)
    for k in range(books):
        for t in range(frames):
            step = pattern.step_of(k, t)
            assert bool(mask[k, t]) == (step < pattern.teacher_steps(frames))
            expected = outputs[:, step - 1, k] if mask[k, t] else torch.zeros(2, 5)
            assert torch.equal(aligned[:, k, t], expected)
            if mask[k, t]:
                gradient[:, step - 1, k] = weights[:, k, t]
    assert torch.equal(outputs.grad, gradient)
