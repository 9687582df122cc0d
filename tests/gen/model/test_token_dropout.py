"""Hidden steps: their share, and that a model is fed them in training alone."""

from __future__ import annotations

import pytest
import torch

from soundloom.gen.model.config import AudioLMConfig
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.token_dropout import drop_tokens

SIZES = AudioLMConfig(num_codebooks=2, codebook_size=8, dim=16, num_layers=1, num_heads=2, text_dim=4)


def test_a_share_of_the_items_has_hidden_steps_of_any_number() -> None:
    torch.manual_seed(0)
    out = drop_tokens(torch.zeros(4000, 3, 50, dtype=torch.long), 0.5, 9)
    hidden = out == 9
    assert (hidden.all(1) == hidden.any(1)).all()  # all codebooks of a step
    share = hidden[:, 0].float().mean(1)  # [B]
    touched = share > 0
    assert 0.45 < touched.float().mean() < 0.52
    assert 0.47 < share[touched].mean() < 0.53
    assert share[touched].quantile(0.1) < 0.15
    assert share[touched].quantile(0.9) > 0.85


def test_without_a_chance_nothing_is_drawn() -> None:
    torch.manual_seed(0)
    codes = torch.zeros(2, 3, 4, dtype=torch.long)
    assert drop_tokens(codes, 0.0, 9) is codes
    first = torch.rand(1)
    torch.manual_seed(0)
    assert torch.rand(1).equal(first)


@pytest.mark.parametrize("training", [True, False])
def test_only_a_model_in_training_misses_tokens(training: bool) -> None:
    torch.manual_seed(0)
    model = AudioLM(AudioLMConfig(**SIZES.__dict__ | {"token_dropout": 1.0})).train(training)
    codes = torch.randint(8, (8, 2, 12))
    other = codes.clone()
    other[:, :, 0] = (other[:, :, 0] + 1) % 8
    states = torch.randn(8, 1, 4)
    logits = []
    for given in (codes, other):
        torch.manual_seed(1)
        logits.append(
            model(given, states).logits[:, 0, 1]
        )  # what the first codebook's second code hears: [B, V]
    same = (logits[0] == logits[1]).all(1)  # [B]
    assert same.any() == training
    assert not same.all()


def test_the_chance_is_checked() -> None:
    with pytest.raises(ValueError, match=r"token_dropout is 1\.5; allowed are 0 to 1"):
        AudioLMConfig(token_dropout=1.5)
