"""Figures of the bundled models: held-out clips, the command of the recipe, a sheet of spectrograms."""

from __future__ import annotations

import json

import pytest

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.held_out_foley import held_out_examples, main
from soundloom.recipes.foley import FoleyCorpus
from soundloom.recipes.foley.show import draw_sheet


def test_held_out_clips_cover_every_class_and_share_no_caption_with_training():
    examples = held_out_examples(2, seconds=0.6)
    assert [example.label for example in examples[::2]] == FoleyCorpus().class_names
    assert len({example.name for example in examples}) == len(examples) == 112
    training = FoleyCorpus(split="train", seed=100)
    seen = {training.caption(i).lower().rstrip(".") for i in range(500)}
    assert not seen & {example.caption.lower().rstrip(".") for example in examples}


def test_held_out_clips_are_those_of_the_corpus():
    example = held_out_examples(2, seconds=0.6)[7]  # the second clip of the fourth class
    name = FoleyCorpus().class_names[3]
    corpus = FoleyCorpus(seconds=0.6, seed=90_003, split="test", compositions={"single": 1.0}, classes=[name])
    samples, rate = example.read()
    assert (example.label, example.caption, rate) == (name, corpus[1].caption, 16000)
    assert samples.shape == (1, 9600)
    assert samples[0].tolist() == corpus[1].audio.tolist()


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    names = FoleyCorpus().class_names
    SoundClassifier(class_names=names, widths=(4, 4, 4, 4)).save_pretrained(tmp_path / "judge")
    SEANetCodec(n_filters=2, dimension=4, lstm=0, codebook_size=8).save_pretrained(tmp_path / "codec")
    out = tmp_path / "result.json"
    where = ["--codec", str(tmp_path / "codec"), "--judge", str(tmp_path / "judge"), "--json", str(out)]
    main(["codec", "--per-class", "1", *where])
    result = json.loads(out.read_text())
    assert result["clips"] == len(names)
    assert f"{100 * result['accuracy']:.1f} %" in capsys.readouterr().out
    assert result["reconstruction"]["mel_distance"] > 0
    assert set(result["classes"]) == set(names)


def test_zero_clips_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["codec", "--per-class", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_a_sheet_has_a_picture_for_every_sound(tmp_path):
    examples = held_out_examples(1, seconds=0.5)[:5]
    figure = draw_sheet([(example.label, example.read()[0][0].numpy()) for example in examples], 16000)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == [example.label for example in examples]
    figure.savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
