"""The LSTM that multiplies step by step is torch's, whole and in pieces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundloom.codecs import stepwise_lstm
from soundloom.codecs.stepwise_lstm import StepwiseLSTM


def pair(batch_first: bool = True) -> tuple[nn.LSTM, StepwiseLSTM]:
    torch.manual_seed(0)
    theirs = nn.LSTM(12, 16, 2, batch_first=batch_first).eval()
    ours = StepwiseLSTM(12, 16, 2, batch_first=batch_first).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("batch_first", [True, False])
@torch.no_grad()
def test_outputs_and_states_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, batch: int, batch_first: bool
) -> None:
    monkeypatch.setattr(stepwise_lstm, "BLOCK", 7)
    theirs, ours = pair(batch_first)
    x = torch.randn(batch, 20, 12)
    x = x if batch_first else x.transpose(0, 1)
    state = (torch.randn(2, batch, 16), torch.randn(2, batch, 16))
    kept = [part.clone() for part in state]
    for given in (None, state):
        (wanted, wanted_state), (made, made_state) = theirs(x, given), ours(x, given)
        assert torch.allclose(made, wanted, atol=1e-6)
        for one, other in zip(made_state, wanted_state, strict=True):
            assert torch.allclose(one, other, atol=1e-6)
    assert all(
        torch.equal(part, before) for part, before in zip(state, kept, strict=True)
    )  # the caller's own


@torch.no_grad()
def test_several_sounds_are_torchs_to_the_bit() -> None:
    """It gives each sound the same bits however many are beside it."""
    theirs, ours = pair()
    x = torch.randn(5, 20, 12)
    assert torch.equal(ours(x)[0], theirs(x)[0])
    assert torch.equal(ours(x[:2])[0], ours(x)[0][:2])


@torch.no_grad()
def test_pieces_are_the_whole() -> None:
    _, ours = pair()
    x = torch.randn(1, 30, 12)
    whole, _ = ours(x)
    state, made = None, []
    for part in x.split(11, 1):
        piece, state = ours(part, state)
        made.append(piece)
    assert torch.allclose(torch.cat(made, 1), whole, atol=1e-6)


def test_gradients_are_torchs() -> None:
    theirs, ours = pair()
    x = torch.randn(2, 9, 12)
    for lstm in (theirs, ours):
        lstm.train()(x)[0].square().sum().backward()
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter.grad, ours.get_parameter(name).grad)
