"""Threads: small work runs on one, whatever was before comes back, and who has chosen is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from soundloom.codecs import load_codec
from soundloom.codecs.base import Codec
from soundloom.core import threads as module
from soundloom.core.threads import SMALL_NETWORK, SMALL_STEP, is_small, one_thread


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process on two cores in which nobody has chosen a number of threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_USUAL", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_inside_and_as_before_outside_even_after_an_error() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1  # the inner one does not open the outer one
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 2
    with one_thread(False):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_from_the_environment_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    with one_thread():
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("chosen", [1, 3])
def test_a_number_that_the_caller_set_is_kept(chosen: int) -> None:
    torch.set_num_threads(chosen)
    with one_thread():
        assert torch.get_num_threads() == chosen
    assert torch.get_num_threads() == chosen


def test_a_number_that_was_set_before_the_import_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.os, "cpu_count", lambda: 16)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    for count, own in ((16, 16), (12, 12), (8, 8), (6, 6), (5, 0), (1, 0)):
        torch.set_num_threads(count)
        assert module._torchs_own() == own
    torch.set_num_threads(5)
    monkeypatch.setattr(module, "_USUAL", module._torchs_own())
    with one_thread():
        assert torch.get_num_threads() == 5


def test_python_threads_at_the_same_time_all_get_their_number_back() -> None:
    """The second one begins within the first, and ends after it, where torch gives it the number 1."""
    entered, left = threading.Event(), threading.Event()
    seen: list[int] = []

    def second() -> None:
        with one_thread():
            seen.append(torch.get_num_threads())
            entered.set()
            left.wait(10)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=second)
    with one_thread():
        other.start()
        assert entered.wait(10)
    assert torch.get_num_threads() == 2
    left.set()
    other.join()
    assert seen == [1, 2]
    fresh: list[int] = []
    third = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    third.start()
    third.join()
    assert fresh == [2]


def test_what_is_small() -> None:
    def network(parameters: int) -> torch.nn.Module:
        return torch.nn.ParameterList([torch.nn.Parameter(torch.empty(1).expand(parameters))])

    assert is_small(network(SMALL_NETWORK - 1))
    assert not is_small(network(SMALL_NETWORK))
    assert is_small(network(SMALL_STEP // 4 - 1), rows=4)
    assert not is_small(network(SMALL_STEP // 4), rows=4)
    assert not is_small(torch.nn.Linear(2, 2, device="meta"))


@pytest.fixture(params=["seanet-16khz", "seanet-12hz", "music2latent2"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return load_codec(request.param)


def encode(codec: Codec, audio: torch.Tensor) -> None:
    codec.encode(audio)


def decode(codec: Codec, audio: torch.Tensor) -> None:
    codec.decode(codec.encode(audio))


def stream(codec: Codec, audio: torch.Tensor) -> None:
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    for coded in (encoder.push(audio), encoder.flush()):
        decoder.push(coded)
    decoder.flush()


@pytest.mark.parametrize("work", [encode, decode, stream])
def test_small_codecs_work_on_one_thread(codec: Codec, work: Callable[[Codec, torch.Tensor], None]) -> None:
    seen: set[int] = set()
    hooks = [m.register_forward_hook(lambda *_: seen.add(torch.get_num_threads())) for m in codec.modules()]
    work(codec, torch.randn(1, codec.channels, codec.sample_rate // 2) * 0.1)
    for hook in hooks:
        hook.remove()
    assert seen == {1}
    assert torch.get_num_threads() == 2
