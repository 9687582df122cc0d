"""What the page says of a prompt while it is typed."""

from __future__ import annotations

from soundloom.demo.prompt_hints import hint, left_out
from soundloom.evaluation.scorer import ClassifierScorer
from soundloom.gen.pipeline import AudioGen


class Knows:
    def classes_of(self, prompt: str) -> list[str]:
        return [word for word in ("dog", "church_bell") if word.split("_")[0] in prompt]


def test_sounds_that_are_heard_in_it_are_named_and_so_is_that_there_are_none() -> None:
    assert "<b>dog, church bell</b>" in hint("a dog in a church", None, Knows)
    assert "None of the sounds" in hint("democracy", None, Knows)
    assert hint("  ", None, Knows) == ""
    assert hint("a dog", None, None) == ""  # of another model nothing is known


def test_with_the_classifier_that_ships() -> None:
    scorer = ClassifierScorer()
    assert "dog, rain" in hint("a dog barks, then rain", None, lambda: scorer)
    assert "None of the sounds" in hint("quarterly earnings report", None, lambda: scorer)


def test_what_the_text_encoder_does_not_read_is_said(tiny_model: AudioGen) -> None:
    encoder = tiny_model.text_encoder
    most = encoder.max_tokens
    assert left_out(encoder, "rain " * most) == ""
    said = left_out(encoder, "rain " * most + "<b>dog</b> barks")
    assert "“<b>dog</b> barks”" in said
    assert "&lt;b&gt;dog&lt;/b&gt;" in hint("rain " * most + "<b>dog</b> barks", encoder, None)
    assert left_out(None, "rain " * 1000) == ""
