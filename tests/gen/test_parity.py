"""Parity with the reference implementation on every AudioGen fixture: one test for each tensor that it lists.

The codec's own tensors are checked in tests/codecs/test_parity.py.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from soundloom.gen.generation import CodeGenerator
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.encoder import TextStates
from soundloom.gen.text.t5 import T5TextEncoder
from tests.fixture_paths import fixture_folders

TOLERANCE = 2e-4
CODEC_TENSORS = ("codec.", "gen.audio")


class Case:
    """One fixture folder: its model, its expected tensors, its sizes."""

    def __init__(self, folder: Path) -> None:
        self.about: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        self.expected = load_file(folder / "expected.safetensors")
        self.prompts: list[str] = self.about["prompts"]
        self.guidance = float(self.about["guidance"]["cfg_coef"])
        self.model = AudioGen.from_pretrained(folder, text_encoder=folder / "t5")
        encoder = self.model.text_encoder
        assert isinstance(encoder, T5TextEncoder)
        self.encoder: T5TextEncoder = encoder

    @functools.cached_property
    def tokens(self) -> tuple[Tensor, Tensor]:
        return self.encoder.tokenize(self.prompts)

    @functools.cached_property
    def text(self) -> TextStates:
        return self.encoder(self.prompts)

    @functools.cached_property
    def guided_text(self) -> TextStates:
        return self.encoder([*self.prompts, *[""] * len(self.prompts)])

    def condition(self, text: TextStates) -> Tensor:
        with torch.inference_mode():
            return self.model.lm.project_text(text.states, text.mask)

    def logits(self, text: TextStates) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            codes = self.expected["lm.codes"].long()
            output = self.model.lm(codes, text.states, text.mask, attend_padding=True)
        return output.logits, output.mask

    def generate(self, name: str, prompts: list[str], **options: Any) -> Tensor:
        return self.model.generate_codes(
            prompts,
            frames=self.expected[name].shape[-1],
            guidance_scale=self.guidance,
            reference_padding=True,
            **options,
        )

    @torch.inference_mode()
    def guided_logits(self, name: str, text: TextStates) -> tuple[Tensor, Tensor]:
        """Guided logits, ours and expected, wherever they predict a code: both `[B, places, V]`."""
        lm = self.model.lm
        frames = self.expected[name.replace("guided_logits", "tokens")].shape[-1]
        seen: list[Tensor] = []

        def greedy(logits: Tensor) -> Tensor:
            seen.append(logits.clone())
            return logits.argmax(dim=-1)

        generator = CodeGenerator(
            lm, text, max_frames=frames, guidance_scale=self.guidance, attend_padding=True
        )
        generator.generate(frames, greedy)
        first = lm.pattern.first_step_after(0)
        places = [(lm.pattern.step_of(k, t), k) for k in range(lm.num_codebooks) for t in range(frames)]
        ours = torch.stack([seen[step - first][:, k] for step, k in places], dim=1)
        theirs = torch.stack([self.expected[name][:, step - 1, k] for step, k in places], dim=1)
        return ours, theirs


def continued_sound(case: Case) -> Tensor:
    about, name = case.about["wavcont"], "wavcont.tokens"
    rows, frames = case.expected[name].shape[0], case.expected[name].shape[-1]
    codec = case.model.codec
    wav = case.expected["codec.wav"][:rows, :, : about["samples"]]
    return case.model.generate(
        case.prompts[:rows],
        duration=frames / codec.frame_rate,
        guidance_scale=case.guidance,
        temperature=0.0,
        continue_from=(wav, codec.sample_rate),
        reference_padding=True,
    ).codes


def extended(case: Case) -> Tensor:
    about = case.about["extend"]
    model = case.model
    longest = model.max_seconds
    model.max_seconds = about["max_duration"]
    try:
        rows = case.expected["extend.tokens"].shape[0]
        return case.generate("extend.tokens", case.prompts[:rows], extend_stride=about["extend_stride"])
    finally:
        model.max_seconds = longest


def sequence(case: Case, codes: Tensor) -> Tensor:
    lm = case.model.lm
    laid_out = lm.pattern.build(codes, special=lm.special_token)
    return laid_out[:, :, : lm.pattern.teacher_steps(codes.shape[-1])]


def sequence_mask(case: Case) -> Tensor:
    frames = case.expected["lm.codes"].shape[-1]
    return case.model.lm.pattern.mask(frames)[:, : case.model.lm.pattern.teacher_steps(frames)]


def reverted(case: Case) -> Tensor:
    """The expected sequence, completed with the steps that training drops, read back."""
    pattern, frames = case.model.lm.pattern, case.expected["lm.codes"].shape[-1]
    full = pattern.build(case.expected["lm.codes"].long(), special=case.model.lm.special_token)
    full[:, :, : pattern.teacher_steps(frames)] = case.expected["lm.sequence"]
    return pattern.revert(full, frames)


def continued(case: Case) -> Tensor:
    prompt = case.expected["cont.prompt"].long()
    return case.generate("cont.tokens", case.prompts[: prompt.shape[0]], prompt_codes=prompt)


def unconditional_text(case: Case) -> TextStates:
    return case.encoder([""] * case.about["uncond"]["batch"])


# Tensor of the fixture -> ours, or ours and the part of the fixture's to compare with.
CHECKS: dict[str, Callable[[Case], Tensor | tuple[Tensor, Tensor]]] = {
    "t5.input_ids": lambda case: case.tokens[0],
    "t5.attention_mask": lambda case: case.tokens[1],
    "t5.last_hidden_state": lambda case: case.encoder.hidden(*case.tokens),
    "cond.tensor": lambda case: case.condition(case.text),
    "cond.mask": lambda case: case.text.mask,
    "cond_cfg.tensor": lambda case: case.condition(case.guided_text),
    "cond_cfg.mask": lambda case: case.guided_text.mask,
    "lm.codes": reverted,
    "lm.sequence": lambda case: sequence(case, case.expected["lm.codes"].long()),
    "lm.sequence_mask": sequence_mask,
    "lm.logits": lambda case: case.logits(case.text)[0],
    "lm.mask": lambda case: case.logits(case.text)[1],
    "lm.logits_null": lambda case: case.logits(case.text.null())[0],
    "gen.tokens": lambda case: case.generate("gen.tokens", case.prompts),
    "gen.guided_logits": lambda case: case.guided_logits("gen.guided_logits", case.text),
    "cont.prompt": lambda case: continued(case)[:, :, : case.about["prompt_frames"]],
    "cont.tokens": continued,
    "uncond.tokens": lambda case: case.generate("uncond.tokens", [""] * case.about["uncond"]["batch"]),
    "uncond.guided_logits": lambda case: case.guided_logits("uncond.guided_logits", unconditional_text(case)),
    "extend.tokens": extended,
    "wavcont.tokens": continued_sound,
}


@functools.cache
def load_case(folder: Path) -> Case:
    return Case(folder)


def listed(folder: Path) -> list[str]:
    about = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return [name for name in about["tensors"] if not name.startswith(CODEC_TENSORS)]


FOLDERS = fixture_folders("audiogen")
PLACES = [
    pytest.param(folder, name, id=f"{folder.name}-{name}") for folder in FOLDERS for name in listed(folder)
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_listed_tensor_has_a_check(folder: Path) -> None:
    names = listed(folder)
    assert names, f"{folder} lists no tensors"
    assert set(names) <= CHECKS.keys()
    assert set(names) <= load_case(folder).expected.keys()


@pytest.mark.parametrize(("folder", "name"), PLACES)
def test_tensor_matches_the_reference(folder: Path, name: str) -> None:
    case = load_case(folder)
    found = CHECKS[name](case)
    ours, theirs = found if isinstance(found, tuple) else (found, case.expected[name])
    assert ours.shape == theirs.shape
    if theirs.is_floating_point():
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=TOLERANCE)
    else:
        assert torch.equal(ours.long(), theirs.long())
    assert list(case.expected[name].shape) == case.about["tensors"][name]["shape"]
