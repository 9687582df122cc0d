"""Figures of the bundled models: the arithmetic, and a whole pass with tiny random models."""

from __future__ import annotations

import json

import pytest
import torch

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.judge import SoundClassifier
from soundloom.recipes.foley import FoleyCorpus
from soundloom.recipes.foley.evaluate import accuracy_table, evaluate_codec, held_out_clips, main, stack
from soundloom.recipes.foley.show import draw_sheet


def test_accuracy_counts_right_answers_per_class():
    result = accuracy_table(["dog", "dog", "cat", "cat"], ["dog", "cat", "cat", "cat"])
    assert result["accuracy"] == 0.75
    assert result["classes"]["dog"] == {"accuracy": 0.5, "clips": 2, "mistaken for": "cat"}
    assert result["classes"]["cat"]["mistaken for"] is None


def test_held_out_clips_cover_every_class_and_share_no_caption_with_training():
    clips = held_out_clips(1, seconds=0.6)
    assert [clip.classes[0] for clip in clips] == FoleyCorpus().class_names
    training = FoleyCorpus(split="train", seed=100)
    seen = {training.caption(i).lower().rstrip(".") for i in range(500)}
    assert not seen & {clip.caption.lower().rstrip(".") for clip in clips}


def test_a_codec_that_returns_its_input_scores_as_the_originals():
    clips = held_out_clips(1, seconds=0.6)[:6]
    judge = SoundClassifier(class_names=FoleyCorpus().class_names, widths=(4, 4, 4, 4)).eval()

    class Perfect:
        sample_rate, bitrate = 16000, 256000.0

        def encode(self, audio: torch.Tensor) -> torch.Tensor:
            return audio

        def decode(self, codes: torch.Tensor, length: int) -> torch.Tensor:
            return codes[..., :length]

    result = evaluate_codec(Perfect(), judge, clips)
    assert result["judged as the original"] == 1.0
    assert result["accuracy"] == result["accuracy of originals"]
    assert result["mel distance"] == 0.0
    assert stack(clips).shape == (6, 1, 9600)


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    names = FoleyCorpus().class_names
    SoundClassifier(class_names=names, widths=(4, 4, 4, 4)).save_pretrained(tmp_path / "judge")
    SEANetCodec(n_filters=2, dimension=4, lstm=0, codebook_size=8).save_pretrained(tmp_path / "codec")
    out = tmp_path / "result.json"
    where = ["--codec", str(tmp_path / "codec"), "--judge", str(tmp_path / "judge"), "--json", str(out)]
    main(["codec", "--per-class", "1", *where])
    result = json.loads(out.read_text())
    assert result["clips"] == len(names)
    assert f"{result['accuracy']:.3f}" in capsys.readouterr().out


def test_zero_clips_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["codec", "--per-class", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_a_sheet_has_a_picture_for_every_sound(tmp_path):
    clips = held_out_clips(1, seconds=0.5)[:5]
    figure = draw_sheet([(clip.classes[0], clip.audio) for clip in clips], 16000)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == [clip.classes[0] for clip in clips]
    figure.savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
