"""The published CoDiCodec, rebuilt: every tensor of a fixture comes out within 1e-4 (indices exactly).

A fixture folder holds a checkpoint in the published layout, expected.json (name -> shape, dtype, meaning) and
expected.safetensors. All sizes come from the fixture.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.codecs.music2latent2.bottleneck import from_gaussian, to_gaussian
from soundloom.codecs.music2latent2.chunk_transformer import Layer
from soundloom.codecs.music2latent2.networks import Context, to_tokens
from tests.fixture_paths import fixture_folders

FOLDERS = fixture_folders("codicodec")
TOLERANCE = 1e-4
# The noise levels of the single denoising pass, the steps and the prompts of the recorded decodings.
SIGMA_LEFT, SIGMA_RIGHT = 0.7, 12.0


@dataclass
class Reference:
    """A loaded fixture."""

    model: Music2Latent2
    expected: dict[str, Tensor]

    def tape(self, name: str) -> list[Tensor]:
        """The recorded noise of a decoding, in order."""
        return [self.expected[key] for key in sorted(self.expected) if key.startswith(f"{name}_noise_")]

    @property
    def spectrogram(self) -> Tensor:
        return self.model.representation.analyse(self.expected["waveform"][None])

    @property
    def latents(self) -> Tensor:
        """Continuous latents `[1, T, S, D]`."""
        return self.model.encode(self.expected["waveform"][None], discrete=False, exact_edges=False)

    @property
    def codes(self) -> Tensor:
        """`[1, K, T]`."""
        return self.model.encode(self.expected["waveform"][None], discrete=True, exact_edges=False)

    def pair_context(self) -> Context:
        """Context of the first two chunks, stacked on the batch axis."""
        return self.model.context(self.latents[0, :2])


@functools.cache
def load(folder: Path) -> Reference:
    return Reference(Music2Latent2.from_pretrained(folder), load_file(folder / "expected.safetensors"))


def autoregressive_noise(tape: list[Tensor], steps: int) -> Iterator[Tensor]:
    """The draws that have an effect: the published code also draws after a chunk's last step."""
    rest = iter(tape)
    first = True
    while (draw := next(rest, None)) is not None:
        chunk = [draw] + [next(rest) for _ in range(steps if first else steps + 1)]
        yield from chunk[:-1]
        first = False


def parallel_noise(tape: list[Tensor], frames: int) -> Iterator[Tensor]:
    """The published code draws for all chunks at once, and once more after the last step; we by chunk."""
    for chunk in zip(*(draw.split(frames, dim=-1) for draw in tape[:-1]), strict=True):
        yield from chunk


def side_by_side(chunks: Tensor) -> Tensor:
    """Chunks on the batch axis -> one after the other in time, batch 1."""
    return torch.cat(chunks.split(1), dim=-1)


def autoregressive(ref: Reference, name: str, latents: Tensor, **settings: Any) -> Tensor:
    steps = settings.get("steps", ref.model.settings.steps)
    noise = autoregressive_noise(ref.tape(name), steps)
    audio = ref.model.decode(latents, decoding="autoregressive", noise=noise, exact_edges=False, **settings)
    assert next(noise, None) is None, "recorded noise is left over"
    return audio[0]


def parallel(ref: Reference, name: str, latents: Tensor, **settings: Any) -> Tensor:
    tape = ref.tape(name)
    noise = parallel_noise(tape, ref.model.settings.frames_per_chunk)
    steps = len(tape) - 1
    return ref.model.decode(
        latents, decoding="parallel", steps=steps, noise=noise, exact_edges=False, **settings
    )[0]


def decoded_chunks(ref: Reference, name: str) -> Tensor:
    """The spectrogram of a decoding, before synthesis, blank chunk included."""
    latents = ref.latents
    config = ref.model.settings
    if name == "ar":
        noise = autoregressive_noise(ref.tape(name), config.steps)
        stream = ref.model.stream_decoder(decoding="autoregressive", noise=noise)
    else:
        noise = parallel_noise(ref.tape(name), config.frames_per_chunk)
        stream = ref.model.stream_decoder(decoding="parallel", steps=len(ref.tape(name)) - 1, noise=noise)
        if latents.shape[1] % 2:
            latents = torch.cat((latents, torch.zeros_like(latents[:, :1])), dim=1)
    with torch.no_grad():
        chunks = [chunk for t in latents.unbind(1) for chunk in stream.decoder.push(ref.model.context(t))]
        return torch.cat((*chunks, *stream.decoder.flush()), dim=-1)


def streamed(ref: Reference) -> Tensor:
    """Every chunk's samples as soon as it is pushed, without the last flush."""
    noise = autoregressive_noise(ref.tape("ar"), ref.model.settings.steps)
    stream = ref.model.stream_decoder(decoding="autoregressive", noise=noise, exact_edges=False)
    return torch.cat([stream.push(chunk) for chunk in ref.latents.split(1, dim=1)], dim=-1)[0]


def levels(ref: Reference) -> Tensor:
    return torch.tensor([SIGMA_LEFT, SIGMA_RIGHT])


def noisy_pair(ref: Reference) -> Tensor:
    """The single pass's input, both chunks on the batch axis."""
    frames = ref.model.settings.frames_per_chunk
    chunks = ref.model.representation.to_chunks(ref.spectrogram)[:2]
    noise = torch.cat(ref.expected["df_noise"].split(frames, dim=-1))
    return chunks + levels(ref)[:, None, None, None] * noise


def network_input(ref: Reference) -> tuple[Tensor, Any]:
    sigma = levels(ref)
    return ref.model.schedule.scalings(sigma[:, None, None, None]).in_ * noisy_pair(
        ref
    ), ref.model.consistency.noise(sigma)


def network_tokens_in(ref: Reference) -> Tensor:
    x, noise = network_input(ref)
    maps = ref.model.consistency.down(x, noise.gain_in, noise.embedding, ref.pair_context().features)
    return to_tokens(maps.output)


def network_tokens_out(ref: Reference) -> Tensor:
    _, noise = network_input(ref)
    tokens, extra = network_tokens_in(ref), ref.pair_context().tokens
    sequence = tokens if extra is None else torch.cat((tokens, extra), dim=1)
    out, _ = ref.model.consistency.transformer(
        sequence, noise.embedding, pair=True, keep=slice(tokens.shape[1])
    )
    return torch.cat(out.split(1), dim=1)


def network_output(ref: Reference) -> Tensor:
    x, noise = network_input(ref)
    return ref.model.consistency(x, noise, ref.pair_context(), pair=True)[0]


def gains(ref: Reference) -> Tensor:
    """As the checkpoint has them: without the 1 that is added."""
    noise = ref.model.consistency.noise(levels(ref))
    return torch.cat((noise.gain_in, noise.gain_out), dim=2)[:, 0, :, 0] - 1


def encoder_raw(ref: Reference) -> Tensor:
    """Summary and register rows before the bottleneck."""
    encoder = ref.model.encoder
    tokens = encoder.tokens(ref.model.representation.to_chunks(ref.spectrogram))
    return encoder.head(encoder.transformer(encoder.sequence(tokens), keep=slice(tokens.shape[1], None))[0])


def attention_allowed(ref: Reference) -> Tensor:
    """Which token of a pair (row) depends on which other one (column), seen by the gradient of one layer."""
    transformer = ref.model.consistency.transformer
    layer = transformer.layers[0]
    assert isinstance(layer, Layer)
    tokens, dim = transformer.positions.shape[1:]
    noise = ref.model.consistency.noise(levels(ref)).embedding.detach()
    x = torch.randn(2, tokens, dim, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = layer(x, noise, None, True)[0].flatten(0, 1)
    rows = []
    for token in out:
        (gradient,) = torch.autograd.grad(token.sum(), x, retain_graph=True)
        rows.append(gradient.flatten(0, 1).abs().amax(-1) > 0)
    return torch.stack(rows).to(torch.uint8)


def scaling(ref: Reference, name: str) -> Tensor:
    return getattr(ref.model.schedule.scalings(ref.expected["c_sigmas"]), name)


def public_latents(ref: Reference, audio: Tensor) -> Tensor:
    """The published `encode`: latents regrouped to the fixture's channels, as a Gaussian."""
    latents = ref.model.encode(audio, discrete=False, exact_edges=False)
    return to_gaussian(latents, ref.expected["encode_continuous"].shape[-1])[0]


def from_public(ref: Reference) -> Tensor:
    return from_gaussian(ref.expected["encode_continuous"][None], ref.model.settings.latent_dim)


# What each tensor of expected.json is compared with. Names that end in a number are made by `computed` below.
COMPUTED: dict[str, Callable[[Reference], Tensor]] = {
    "spectrogram": lambda ref: ref.spectrogram,
    "spectrogram_inverse": lambda ref: ref.model.representation.synthesise(ref.expected["spectrogram"]),
    "spectrogram_padded": lambda ref: side_by_side(ref.model.representation.to_chunks(ref.spectrogram)),
    "encoder_tokens": lambda ref: ref.model.encoder.tokens(
        ref.model.representation.to_chunks(ref.spectrogram)
    ),
    "encoder_raw": encoder_raw,
    "latents_continuous": lambda ref: ref.latents.flatten(1, 2),
    "latents_quantised": lambda ref: ref.model.bottleneck.quantize(ref.latents).flatten(1, 2),
    "indices": lambda ref: ref.codes.transpose(1, 2).flatten(1),
    "codes_from_indices": lambda ref: ref.model.bottleneck.from_indices(ref.expected["indices"]),
    "encode_continuous": lambda ref: public_latents(ref, ref.expected["waveform"][None]),
    "encode_discrete": lambda ref: ref.codes[0].T,
    "encode_mono": lambda ref: public_latents(
        ref, ref.model.prepare(ref.expected["waveform"][0], ref.model.sample_rate)
    ),
    "pre_decoder_tokens": lambda ref: ref.model.upsampler.tokens(ref.latents[0, :2]),
    "df_input": lambda ref: side_by_side(noisy_pair(ref)),
    "df_sigma_embedding": lambda ref: ref.model.consistency.noise.sinusoids(levels(ref)),
    "df_time_embedding": lambda ref: ref.model.consistency.noise(levels(ref)).embedding,
    "df_gain": gains,
    "df_tokens_in": network_tokens_in,
    "df_tokens_out": network_tokens_out,
    "df_network": network_output,
    "df_output": lambda ref: side_by_side(
        ref.model.denoise_pair(noisy_pair(ref), levels(ref), ref.pair_context())
    ),
    "c_skip": lambda ref: scaling(ref, "skip"),
    "c_out": lambda ref: scaling(ref, "out"),
    "c_in": lambda ref: scaling(ref, "in_"),
    "schedule_sigma": lambda ref: ref.model.schedule.sigma(ref.expected["schedule_t"]),
    "sigma_prompt": lambda ref: ref.model.schedule.sigma(torch.tensor([ref.model.settings.prompt_time])),
    "attn_mask_allowed": attention_allowed,
    "ar_spectrogram": lambda ref: decoded_chunks(ref, "ar"),
    "ar_waveform": lambda ref: autoregressive(ref, "ar", from_public(ref)),
    "ar_waveform_discrete": lambda ref: autoregressive(ref, "ar", ref.codes),
    "ar3_waveform": lambda ref: autoregressive(ref, "ar3", from_public(ref), steps=3, prompt_time=0.6),
    "par_spectrogram": lambda ref: decoded_chunks(ref, "par"),
    "par_waveform": lambda ref: parallel(ref, "par", from_public(ref)),
    "par_waveform_discrete": lambda ref: parallel(ref, "par", ref.codes),
    "par2_waveform": lambda ref: parallel(ref, "par2", from_public(ref)[:, :2]),
    "stream_waveform": streamed,
}
# What goes in; each is used by the comparisons named here.
INPUTS = ("waveform", "df_noise", "c_sigmas", "schedule_t")
TAPES = {"ar": "ar_waveform", "ar3": "ar3_waveform", "par": "par_waveform", "par2": "par2_waveform"}


def computed(ref: Reference, name: str) -> Tensor:
    """Our value of an expected tensor."""
    if name.startswith("features_"):
        return side_by_side(ref.pair_context().features[int(name.removeprefix("features_"))])
    return COMPUTED[name](ref)


def is_input(name: str) -> bool:
    """Whether a tensor goes into a comparison rather than out of the model."""
    tape, _, number = name.rpartition("_noise_")
    return name in INPUTS or (tape in TAPES and number.isdigit())


def expected_names() -> list[Any]:
    """One test parameter for each output of each fixture."""
    return [
        pytest.param(folder, name, id=f"{folder.name}-{name}")
        for folder in FOLDERS
        for name in json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        if not is_input(name)
    ]


@pytest.mark.parametrize(("folder", "name"), expected_names())
def test_tensor(folder: Path, name: str) -> None:
    ref = load(folder)
    with torch.set_grad_enabled(name == "attn_mask_allowed"):
        ours = computed(ref, name)
    expected = ref.expected[name]
    assert ours.shape == expected.shape
    if expected.dtype.is_floating_point:
        torch.testing.assert_close(ours, expected, atol=TOLERANCE, rtol=0)
    else:
        assert torch.equal(ours.to(expected.dtype), expected)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_tensor_is_checked(folder: Path) -> None:
    listed = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    ref = load(folder)
    assert set(listed) == set(ref.expected)
    outputs = {name for name in listed if not is_input(name)}
    features = {f"features_{index}" for index in range(len(ref.pair_context().features))}
    assert outputs == set(COMPUTED) | features
    for name, entry in listed.items():
        assert list(ref.expected[name].shape) == entry["shape"], name
    for tape, user in TAPES.items():
        assert ref.tape(tape), f"{user} has no recorded noise"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_window_of_parallel_decoding_changes_nothing(folder: Path) -> None:
    """Memory is bounded by a window of chunks; the wave gives what all chunks at once give."""
    ref = load(folder)
    config = ref.model.settings
    latents = ref.latents.repeat(1, 3, 1, 1)
    results = []
    for window in (2, 4, 64):
        stream = ref.model.stream_decoder(decoding="parallel", steps=5, seed=1)
        stream.decoder.window = window  # type: ignore[attr-defined]
        audio = torch.cat((stream.push(latents), stream.flush()), dim=-1)
        assert audio.shape[-1] == latents.shape[1] * config.chunk_samples - config.edge
        results.append(audio)
    torch.testing.assert_close(results[0], results[2], atol=1e-5, rtol=0)
    torch.testing.assert_close(results[1], results[2], atol=1e-5, rtol=0)


def test_a_fixture_exists() -> None:
    assert FOLDERS
