"""Models go to a stand-in of the hub with their cards, and come back from there as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants
from safetensors.torch import load as read_tensors

from soundloom.codecs import load_codec
from soundloom.codecs.music2latent2.model import Music2Latent2
from soundloom.codecs.pretrained import PretrainedCodec
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.weights_hash import weights_hash
from soundloom.core.errors import ArgumentError, ModelAccessError, ModelError
from soundloom.core.safetensors_files import read_header
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.model.lora import LoRASettings, add_lora, lora_layers
from soundloom.gen.model.lora_file import LoRAWeights
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.push_model import push_model, stage_model
from tests.cli.running import refused, run
from tests.codecs.encodec.small import make_small
from tests.conftest import TINY
from tests.hub_stand_in import TOKEN, HubStandIn, Repository, card_errors, hub_stand_in

# huggingface_hub uploads in a way that its HTTP client would write otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def running() -> Iterator[HubStandIn]:
    with hub_stand_in() as server:
        yield server


@pytest.fixture
def hub(running: HubStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubStandIn:
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


def small_codec(seed: int = 0) -> SEANetCodec:
    torch.manual_seed(seed)
    return SEANetCodec(num_codebooks=2, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()


def card_of(repository: Repository) -> ModelCard:
    """The card of a repository, which the hub has to read without a complaint."""
    text = repository.files["README.md"].decode()
    assert card_errors(text) == []
    return ModelCard(text)


def metadata_of(content: bytes, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "looked-at.safetensors"
    file.write_bytes(content)
    return read_header(file)[1]


CODECS: dict[str, Any] = {
    "SEANetCodec": small_codec,
    "EnCodec": lambda: make_small("encodec-24khz"),
    "Music2Latent2": lambda: Music2Latent2(
        sample_rate=8000, channels=1, hop=32, frames_per_chunk=8, base_channels=8, multipliers=(1, 2),
        encoder_blocks=(1, 1), decoder_blocks=(1, 1), strides=((4, 4),), dim=16, head_dim=8,
        encoder_layers=1, upsampler_layers=1, decoder_layers=1, noise_dim=8, num_latents=2, latent_dim=4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CODECS)
def test_a_codec_comes_back_as_it_was(kind: str, hub: HubStandIn, tmp_path: Path) -> None:
    codec: PretrainedCodec = CODECS[kind]()
    address = codec.push_to_hub("me/tiny", "First words", license="cc-by-4.0")
    repository = hub.repositories["me/tiny"]
    assert address == f"{hub.address}/me/tiny/commit/{repository.commits[-1].sha}"
    assert repository.commits[-1].message == "First words"
    assert sorted(repository.files) == ["README.md", "config.json", "diffusion_pytorch_model.safetensors"]
    data: Any = card_of(repository).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "cc-by-4.0",
        "soundloom",
        "audio-to-audio",
    )
    assert "neural-audio-codec" in data.tags
    assert 'load_codec("me/tiny")' in card_of(repository).text
    told = metadata_of(repository.files["diffusion_pytorch_model.safetensors"], tmp_path)
    assert told["license"] == "cc-by-4.0"
    assert told["soundloom_version"]
    assert weights_hash(load_codec("me/tiny")) == weights_hash(codec)


def test_an_audiogen_brings_its_codec(hub: HubStandIn, tmp_path: Path, tiny_model: AudioGen) -> None:
    shutil.copytree(TINY, tmp_path / "tiny")
    model = AudioGen(
        tiny_model.lm, tiny_model.text_encoder, tiny_model.codec, codec_name="seanet-16khz", license="mit"
    )
    model.push_to_hub("me/sounds", private=True)
    repository = hub.repositories["me/sounds"]
    assert repository.private
    assert json.loads(repository.files["config.json"])["codec"] is None
    data: Any = card_of(repository).data
    assert (data.license, data.pipeline_tag) == ("mit", "text-to-audio")
    lm = next(content for path, content in repository.files.items() if path.startswith("lm/diffusion"))
    told = metadata_of(lm, tmp_path)
    assert told["codec_fingerprint"] == weights_hash(model.codec)
    assert told["license"] == "mit"
    found = AudioGen.from_pretrained("me/sounds")
    assert found.license == "mit"
    wanted = model.generate_codes("rain", frames=8)
    assert torch.equal(found.generate_codes("rain", frames=8), wanted)


def test_the_classifier_too(hub: HubStandIn) -> None:
    classifier = SoundClassifier(class_names=["dog", "rain"], widths=(2, 2, 2, 2)).eval()
    classifier.push_to_hub("me/ears", license="apache-2.0")
    data: Any = card_of(hub.repositories["me/ears"]).data
    assert data.pipeline_tag == "audio-classification"
    found = SoundClassifier.from_pretrained("me/ears")
    audio = torch.randn(1, 4000)
    assert torch.equal(found(audio), classifier(audio))


@pytest.mark.parametrize("name", ["foley", "seanet-16khz", "music2latent2", "foley-classifier"])
def test_what_ships_is_pushed_with_its_own_card(name: str, hub: HubStandIn) -> None:
    push_model(name, f"me/{name}")
    repository = hub.repositories[f"me/{name}"]
    card = card_of(repository)
    data: Any = card.data
    assert data.license == "apache-2.0"
    assert data.eval_results
    assert card.text.strip().startswith(f"# {name}")
    assert ("codec/config.json" in repository.files) == (name == "foley")
    assert not any(path.endswith((".bin", ".pt", ".ckpt")) for path in repository.files)


def test_an_adapter_and_its_model(
    hub: HubStandIn, tmp_path: Path, tiny_model: AudioGen, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5").lm
    add_lora(lm, LoRASettings(rank=2))
    for _, layer in lora_layers(lm):
        layer.lora_up.data.normal_()
    file = LoRAWeights.of(lm, "you/sounds").save(tmp_path / "bell.safetensors")
    assert run("push", file, "me/bell-lora", "--license", "mit", "--message", "Ding") == 0
    assert "/me/bell-lora/commit/" in capsys.readouterr().out
    repository = hub.repositories["me/bell-lora"]
    data: Any = card_of(repository).data
    assert (data.base_model, data.license) == ("you/sounds", "mit")
    assert {"lora", "soundloom"} <= set(data.tags)
    assert (
        read_tensors(repository.files["pytorch_lora_weights.safetensors"]).keys()
        == read_tensors(file.read_bytes()).keys()
    )
    model = AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5")
    assert model.load_lora_weights("me/bell-lora", strength=0.5) == "bell-lora"


def test_a_second_upload_leaves_no_weights_of_the_first(hub: HubStandIn, tmp_path: Path) -> None:
    codec, again = small_codec(0), small_codec(1)
    codec.save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    push_model(tmp_path / "sharded", "me/tiny", license="mit")
    assert len([path for path in hub.repositories["me/tiny"].files if path.endswith(".safetensors")]) > 1
    again.push_to_hub("me/tiny", license="mit")
    assert sorted(hub.repositories["me/tiny"].files) == [
        "README.md", "config.json", "diffusion_pytorch_model.safetensors"
    ]  # fmt: skip
    assert weights_hash(load_codec("me/tiny")) == weights_hash(again)


def test_a_proposal_changes_nothing_yet(hub: HubStandIn) -> None:
    small_codec().push_to_hub("me/tiny", license="mit")
    before = dict(hub.repositories["me/tiny"].files)
    address = small_codec(1).push_to_hub("me/tiny", create_pr=True, license="mit")
    assert address.endswith("/discussions/1")
    assert hub.repositories["me/tiny"].files == before


def test_only_what_belongs_to_the_model_is_uploaded(hub: HubStandIn, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    small_codec().save_pretrained(folder)
    for name in (".env", "last.ckpt", "notes.txt", "sound.wav", "weights.bin"):
        (folder / name).write_text("private")
    (folder / "LICENSE").write_text("Yours.")
    (folder / "ATTRIBUTION.md").write_text("Theirs.")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    push_model(folder, "me/mine")
    assert sorted(hub.repositories["me/mine"].files) == [
        "ATTRIBUTION.md", "LICENSE", "README.md", "config.json", "diffusion_pytorch_model.safetensors"
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_dry_run_writes_what_would_go(
    hub: HubStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = tmp_path / "look"
    small_codec().save_pretrained(tmp_path / "mine")
    assert run("push", tmp_path / "mine", "me/mine", "--dry-run", look) == 0
    assert capsys.readouterr().out.strip() == str(look)
    assert not hub.repositories
    assert card_errors((look / "README.md").read_text()) == []
    assert "not empty" in refused(capsys, "push", tmp_path / "mine", "me/mine", "--dry-run", look)


def test_what_the_hub_refuses_is_said_in_a_sentence(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = small_codec()
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelAccessError, match="hf auth login"):
        codec.push_to_hub("me/tiny")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelAccessError, match="a token that may write to 'me/tiny'"):
        codec.push_to_hub("me/tiny")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.refuse["validate-yaml"] = 400
    with pytest.raises(ModelError, match="Invalid metadata"):
        codec.push_to_hub("me/tiny")
    hub.refuse = {"/commit/": 403}
    with pytest.raises(ModelAccessError, match="the stand-in refuses this"):
        codec.push_to_hub("me/tiny")
    hub.refuse = {"/commit/": 422}
    assert "the hub refuses the upload" in refused(capsys, "push", "seanet-16khz", "me/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        codec.push_to_hub("me/tiny")


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "../x", "me/", "https://huggingface.co/me/tiny"])
def test_names_of_no_repository_are_refused_before_anything(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="owner/name"):
        small_codec().push_to_hub(name)
    with pytest.raises(ArgumentError, match="owner/name"):
        stage_model("seanet-16khz", name, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_pushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no model 'nothing' on this machine" in refused(capsys, "push", "nothing", "me/x")
    for empty in ("", " "):  # nothing is no name of the current folder
        assert "there is no model" in refused(capsys, "push", empty, "me/x")
    assert "(no config.json)" in refused(capsys, "push", tmp_path, "me/x")
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    said = refused(capsys, "push", "foley", "me/x", "--dry-run", tmp_path)
    assert "is not empty; choose another folder" in said
    assert "force" not in said
    assert "config.json is of 'UNet2DModel'" in refused(capsys, "push", tmp_path, "me/x")
    (tmp_path / "config.json").write_text('{"_class_name": "SEANetCodec"}')
    (tmp_path / "model.bin").touch()
    assert "holds no .safetensors" in refused(capsys, "push", tmp_path, "me/x")
    assert "licence is 'CC BY 4.0'" in refused(capsys, "push", "foley", "me/x", "--license", "CC BY 4.0")
    assert "licence is ''" in refused(capsys, "push", "foley", "me/x", "--license", "")
    report = tmp_path / "report.json"
    report.write_text("[]")
    assert "no report" in refused(capsys, "push", "foley", "me/x", "--report", report)
