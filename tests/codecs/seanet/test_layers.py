"""SEANet's layers: lengths, causality, streaming, agreement with a published network's arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.codecs.seanet.layers import Conv, ConvTranspose, ResidualBlock, SkipLSTM, StreamState
from soundloom.codecs.seanet.seanet import SEANetDecoder, SEANetEncoder
from soundloom.codecs.seanet.seanet_config import NetworkConfig

TINY = NetworkConfig(n_filters=2, dimension=6, ratios=(4, 2), lstm=1, causal=True)


@given(
    length=st.integers(1, 60),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 3),
    causal=st.booleans(),
    pad_mode=st.sampled_from(["constant", "reflect"]),
)
@settings(max_examples=60, deadline=None)
def test_conv_gives_ceil_of_length_over_stride(length, kernel, stride, dilation, causal, pad_mode):
    kernel = max(kernel, math.ceil((stride - 1) / dilation) + 1)
    conv = Conv(1, 2, kernel, stride=stride, dilation=dilation, causal=causal, pad_mode=pad_mode)
    assert conv(torch.randn(1, length, 1)).shape == (1, math.ceil(length / stride), 2)


@pytest.mark.parametrize("stride", [2, 3, 5, 8])
@pytest.mark.parametrize("causal", [False, True])
def test_transposed_conv_multiplies_the_length(stride, causal):
    layer = ConvTranspose(2, 3, stride, causal=causal)
    assert layer(torch.randn(2, 7, 2)).shape == (2, 7 * stride, 3)


def test_trim_right_ratio_is_refused_without_causal():
    with pytest.raises(ValueError, match="trim_right_ratio=0.5"):
        ConvTranspose(1, 1, 2, trim_right_ratio=0.5)


def test_unknown_norm_is_named():
    with pytest.raises(ValueError, match="'batch'.*weight_norm"):
        Conv(1, 1, 3, norm="batch")


def test_causal_encoder_does_not_see_the_future():
    encoder = SEANetEncoder(TINY).eval()
    audio = torch.randn(1, 1, 64)
    changed = audio.clone()
    changed[..., 40:] += 1.0
    with torch.no_grad():
        before, after = encoder(audio), encoder(changed)
    # Frame t ends with sample 8 t (padding lies on the left only).
    assert torch.equal(before[..., :5], after[..., :5])
    assert not torch.allclose(before[..., 5:], after[..., 5:])


@given(cuts=st.lists(st.integers(1, 50), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_streamed_encoder_and_decoder_equal_offline(cuts):
    torch.manual_seed(0)
    encoder = SEANetEncoder(TINY).eval()
    decoder = SEANetDecoder(TINY).eval()
    audio = torch.randn(2, 1, 200)
    pieces = list(audio.split([*cuts, max(0, 200 - sum(cuts))], dim=-1)) if sum(cuts) <= 200 else [audio]
    with torch.no_grad():
        offline = encoder(audio)
        state = StreamState()
        streamed = torch.cat([encoder(piece, state) for piece in pieces], dim=-1)
        torch.testing.assert_close(streamed, offline[..., : streamed.shape[-1]], atol=1e-6, rtol=1e-5)
        assert streamed.shape[-1] == 200 // 8
        whole = decoder(offline)
        state = StreamState()
        parts = torch.cat([decoder(frames, state) for frames in offline.split(3, dim=-1)], dim=-1)
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_a_layer_that_looks_ahead_emits_the_rest_when_the_stream_closes(pad_mode, length):
    x = torch.randn(1, length, 1)
    layers = [
        Conv(1, 2, 7, pad_mode=pad_mode),
        Conv(1, 2, 5, dilation=3, pad_mode=pad_mode),
        Conv(1, 2, 8, stride=4, pad_mode=pad_mode),
        ConvTranspose(1, 2, 5),
        ConvTranspose(1, 2, 4, causal=True, trim_right_ratio=0.5),
        ResidualBlock(1, compress=1, kernel_size=5, true_skip=False, pad_mode=pad_mode),
    ]
    for layer in layers:
        with torch.no_grad():
            whole = layer(x)
            state = StreamState()
            pieces = [layer(piece, state) for piece in x.split(1, dim=1)]
            assert sum(piece.shape[1] for piece in pieces) <= whole.shape[1]
            state.closing = True
            pieces.append(layer(x[:, :0], state))
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-6, rtol=1e-5)


def test_reset_forgets_the_past():
    lstm = SkipLSTM(4, 1).eval()
    state = StreamState()
    x = torch.randn(1, 5, 4)
    with torch.no_grad():
        first = lstm(x, state)
        again = lstm(x, state)
        state.reset()
        fresh = lstm(x, state)
    assert torch.equal(first, fresh)
    assert not torch.allclose(first, again)
