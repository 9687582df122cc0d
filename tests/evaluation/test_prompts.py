"""The prompts with their tags: the table that ships, tables of users, and a model that is asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.embedders import NamedClassifier
from soundloom.evaluation.evaluate_sounds import Example
from soundloom.evaluation.prompts import TaggedPrompt, evaluate_prompts, read_prompts
from soundloom.evaluation.tags import check_tags, first_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.gen.pipeline import AudioGen
from soundloom.recipes.foley import CLASSES, FoleyCorpus
from soundloom.recipes.foley.grammar import normalise
from tests.tiny_yamnet import TinySession


def bare(caption: str) -> str:
    """A caption without its first article."""
    text = normalise(caption)
    return text.removeprefix("a ").removeprefix("an ").removeprefix("the ")


def test_the_prompts_that_ship_are_many_and_their_tags_are_known() -> None:
    prompts, tagger = read_prompts(), YAMNet(TinySession())
    assert len(prompts) >= 150
    assert len({bare(prompt.prompt) for prompt in prompts}) == len(prompts)
    for prompt in prompts:
        check_tags(tagger, prompt.tags)


def test_no_prompt_that_ships_is_a_caption_of_the_corpus() -> None:
    prompts = {bare(prompt.prompt) for prompt in read_prompts()}
    captions = {name.replace("_", " ") for name in CLASSES}
    for sound in CLASSES.values():
        captions |= {bare(noun) for noun in sound.nouns}
        captions |= {bare(f"{subject} {verb}") for subject in sound.subjects for verb in sound.verbs}
    for split in ("train", "validation", "test"):
        corpus = FoleyCorpus(split=split, compositions={"single": 1.0})
        captions |= {bare(text) for i in range(150) for text in corpus.caption_variants(i, 8)}
    assert not prompts & captions


def test_a_table_of_prompts(tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text('\ufeffprompt,tags,note\n a dog ,"Dog; Bark",x\ntea,"Liquid"\n', encoding="utf-8")
    assert read_prompts(table) == [TaggedPrompt("a dog", ("Dog", "Bark")), TaggedPrompt("tea", ("Liquid",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,tag\na,b\n", "no column tags; its first line must be: prompt,tags"),
        ("prompt,tags\na dog,\n", "row 1.*needs a prompt and a tag"),
        ("prompt,tags\n,Dog\n", "row 1.*needs a prompt and a tag"),
        ("prompt,tags\n", "holds no prompts"),
    ],
)
def test_tables_that_lack_something_are_refused(text: str, message: str, tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_prompts(table)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"prompt,tags\n\xff\xfe,Dog\n")
    with pytest.raises(ValueError, match="no table of prompts"):
        read_prompts(tmp_path / "x.csv")


def test_a_model_is_asked_for_every_prompt_and_the_right_tags_are_counted(tiny_model: AudioGen) -> None:
    torch.manual_seed(0)
    classifier = NamedClassifier(
        SoundClassifier(class_names=["dog", "rain"], widths=(4, 4, 4, 4)).eval(), "tiny"
    )
    tagger = YAMNet(TinySession())
    heard = []
    for seed, text in enumerate(("a dog", "rain", "tea")):
        audio = tiny_model.generate(text, duration=0.2, seed=3 + seed)
        heard += first_tags(tagger, audio.samples, audio.sample_rate)
    wrong = next(tag for tag in tagger.tag_names if all(tag not in row for row in heard))
    prompts = [
        TaggedPrompt("a dog", (wrong, heard[0][0])),
        TaggedPrompt("rain", (heard[1][3],)),
        TaggedPrompt("tea", (wrong,)),
    ]
    steps: list[tuple[int, int]] = []
    reference = Example(
        "x", lambda: (torch.randn(1, 32000, generator=torch.Generator().manual_seed(0)), 16000)
    )
    report = evaluate_prompts(
        tiny_model,
        prompts,
        classifier,
        tagger,
        references=[reference],
        duration=0.2,
        seed=3,
        batch_size=2,
        progress=lambda *step: steps.append(step),
    )
    assert [row["heard"] for row in report["prompts"]] == heard
    assert report["wanted_tags"]["first"] == pytest.approx(1 / 3)
    assert report["wanted_tags"]["among_five"] == pytest.approx(2 / 3)
    assert report["prompt_accuracy"]["clips"] == 2
    assert report["fad"]["sounds"] == 3
    assert report["kad"]["reference_pieces"] == 3
    assert 0 <= report["beyond_full_scale"] <= 1
    assert steps[-1] == (4, 4)
    with pytest.raises(ValueError, match="yamnet knows no tag 'Dogs'; did you mean 'Dog'"):
        evaluate_prompts(tiny_model, [TaggedPrompt("x", ("Dogs",))], classifier, tagger)
