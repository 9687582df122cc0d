"""Models go to a stand-in of the hub with their cards, and come back from there as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants
from safetensors import safe_open

from soundloom.codecs import load_codec
from soundloom.codecs.pretrained import PretrainedCodec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.weights_hash import weights_hash
from soundloom.core.errors import ArgumentError, ModelAccessError, ModelError
from soundloom.core.model_card import card_text
from soundloom.core.push_to_hub import stage_folder
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.pipeline import AudioGen
from tests.conftest import TINY
from tests.hub_stand_in import TOKEN, HubStandIn, hub_stand_in

# huggingface_hub uploads in a way that its HTTP client would write otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def running() -> Iterator[HubStandIn]:
    with hub_stand_in() as server:
        yield server


@pytest.fixture
def hub(running: HubStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    """An empty hub, in place of the real one, with an empty cache and a token that may write."""
    running.repositories.clear()
    running.refuse.clear()
    monkeypatch.setattr(constants, "ENDPOINT", running.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return running


def test_probe(hub: HubStandIn, tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    print(codec.push_to_hub("me/tiny", license="apache-2.0"))
    print(sorted(hub.repositories["me/tiny"].files))
    print(hub.repositories["me/tiny"].files["README.md"].decode())
    loaded = load_codec("me/tiny")
    x = torch.randn(1, 1, 1000)
    assert torch.equal(loaded.encode(x), codec.encode(x))
