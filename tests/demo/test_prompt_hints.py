"""What the page says of a prompt while it is typed."""

from __future__ import annotations

from soundloom.demo.prompt_hints import hint, left_out
from soundloom.evaluation.audio_text_scorer import AudioTextScorer
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.embedded import EmbeddedTextEncoder


class Knows:
    def classes_of(self, prompt: str) -> list[str]:
        return [word for word in ("dog", "church_bell") if word.split("_")[0] in prompt]


def test_sounds_that_are_heard_in_it_are_named_and_so_is_that_there_are_none() -> None:
    assert "<b>dog, church bell</b>" in hint("a dog in a church", None, Knows)
    assert "None of the sounds" in hint("democracy", None, Knows)
    assert hint("  ", None, Knows) == ""
    assert hint("a dog", None, None) == ""  # of another model nothing is known


def test_with_the_classifier_that_ships() -> None:
    scorer = AudioTextScorer()
    assert "dog, rain" in hint("a dog barks, then rain", None, lambda: scorer)
    assert "None of the sounds" in hint("quarterly earnings report", None, lambda: scorer)


def test_what_the_text_encoder_does_not_read_is_said(tiny_model: AudioGen) -> None:
    for encoder in (tiny_model.text_encoder, EmbeddedTextEncoder.from_pretrained("foley")):
        assert left_out(encoder, "a dog barks") == ""
        long = "rain " * 300
        rest = encoder.unread(long)
        assert rest
        assert long.strip().endswith(rest)
        read = long.strip()[: -len(rest)]
        assert left_out(encoder, read) == ""
        assert "“<b>dog</b>”" in left_out(encoder, read + "<b>dog</b>")
        assert "&lt;b&gt;dog&lt;/b&gt;" in hint(read + "<b>dog</b>", encoder, None)
        assert left_out(encoder, long).endswith(" …”. Make it shorter.")
    assert left_out(None, long) == ""
