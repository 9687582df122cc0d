"""What a sentence encoder makes of phrases, and a text encoder that learns it from a file."""

from __future__ import annotations

import json
from pathlib import Path

import lightning
import pytest
import torch
from safetensors.torch import load_file, save_file

from soundloom import cli
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.gen.training.export_checkpoint import export_checkpoint
from soundloom.gen.training.parts import TextSettings
from soundloom.gen.training.sentence_module import SentenceModule
from soundloom.recipes import distil_token_table
from soundloom.recipes.data import SentenceDataModule
from soundloom.recipes.distil_sentences import SENTENCES_FILE, VECTORS_FILE
from tests.recipes.test_distil_token_table import tiny_bert  # noqa: F401 - a fixture
from tests.recipes.test_phrases import wordnet  # noqa: F401 - a fixture

SMALL = TextSettings(encoder="foley", settings={"num_layers": 1, "dim": 16, "num_heads": 2})
THINGS = ("dog", "rain", "bell", "engine", "piano", "door", "wind", "glass")


def test_the_command_embeds_phrases_as_the_encoder_does(
    tiny_bert: Path,  # noqa: F811
    wordnet: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distil_token_table, "find_minilm", lambda: tiny_bert)
    (tmp_path / "captions").mkdir()
    line = json.dumps({"caption": "dog bark", "captions": ["dog bark", "rain"]})
    (tmp_path / "captions" / "metadata.jsonl").write_text(line + "\n")
    words = ["distil-text", str(tmp_path / "out"), "--dim", "8", "--phrases", "40", "-q"]
    words += ["--wordnet", str(wordnet), "--captions", str(tmp_path / "captions")]
    assert cli.main(words) == 0
    phrases = (tmp_path / "out" / SENTENCES_FILE).read_text(encoding="utf-8").splitlines()
    vectors = load_file(tmp_path / "out" / VECTORS_FILE)["vectors"]
    assert "dog bark" in phrases
    assert vectors.dtype == torch.float16
    assert vectors.shape == (len(phrases), 8)
    torch.testing.assert_close(vectors.float().norm(dim=-1), torch.ones(len(phrases)), atol=2e-3, rtol=0)
    assert cli.main(words) == 2  # never replaced silently
    assert cli.main([*words, "--force"]) == 0
    torch.testing.assert_close(load_file(tmp_path / "out" / VECTORS_FILE)["vectors"], vectors)


def test_options_of_phrases_want_phrases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["distil-text", str(tmp_path), "--captions", str(tmp_path)]) == 2
    assert "add --phrases N" in capsys.readouterr().err


def make_sentences(folder: Path) -> None:
    """Phrases whose vectors tell what they are about, however it is said."""
    generator = torch.Generator().manual_seed(0)
    known = torch.nn.functional.normalize(torch.randn(len(THINGS), 16, generator=generator), dim=-1)
    patterns = ("a {}", "the {} again", "sound of {}", "{} far away", "one old {}", "{}", "{} and nothing else")
    rows = [(pattern.format(thing), known[n]) for pattern in patterns for n, thing in enumerate(THINGS)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SENTENCES_FILE).write_text("".join(f"{phrase}\n" for phrase, _ in rows), encoding="utf-8")
    save_file({"vectors": torch.stack([vector for _, vector in rows]).half()}, folder / VECTORS_FILE)


def test_an_encoder_learns_the_vectors_of_phrases_it_has_not_seen(tmp_path: Path) -> None:
    make_sentences(tmp_path / "text")
    torch.manual_seed(0)
    module = SentenceModule(
        text=SMALL,
        optimizer=lambda values: torch.optim.Adam(values, lr=1e-2),
        scheduler=LearningRateSchedule(warmup_steps=10),
    )
    data = SentenceDataModule(str(tmp_path / "text"), batch_size=16, held_out=16)
    trainer = lightning.Trainer(
        max_steps=120,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    [before] = trainer.validate(module, data, verbose=False)
    torch.manual_seed(0)
    trainer.fit(module, data)
    [found] = trainer.validate(module, data, verbose=False)
    assert before["val/cosine"] < 0.3
    assert found["val/cosine"] > 0.75
    assert found["val/nearest"] > 0.75

    checkpoint = tmp_path / "text.ckpt"
    trainer.save_checkpoint(checkpoint)
    made = export_checkpoint(checkpoint, tmp_path / "encoder")
    encoder = EmbeddedTextEncoder.from_pretrained(made)
    expected = module.eval().encoder(["a dog far away"]).mean()
    torch.testing.assert_close(encoder(["a dog far away"]).mean(), expected)


def test_files_that_are_missing_or_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sentences.txt is missing.*--phrases"):
        SentenceDataModule(str(tmp_path)).setup()
    make_sentences(tmp_path)
    with open(tmp_path / SENTENCES_FILE, "a", encoding="utf-8") as file:
        file.write("one more\n")
    with pytest.raises(ValueError, match="57 phrases and 56 vectors"):
        SentenceDataModule(str(tmp_path)).setup()


def test_an_encoder_without_a_table_is_refused(tiny_t5: Path) -> None:
    with pytest.raises(ValueError, match="token table"):
        SentenceModule(text=TextSettings(encoder=str(tiny_t5)))


@pytest.fixture
def tiny_t5() -> Path:
    return Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny" / "t5"
