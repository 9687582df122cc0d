"""A blind test (ABX): in ten rounds somebody says whether X is A or B, and statistics say what that proves.

D. Clark, "High-resolution subjective testing using a double-blind comparator", J. Audio Eng. Soc. 30, 1982.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from scipy.stats import binomtest

from .ab_player import ab_player, versions
from .temporary_files import Shelf, failure

ROUNDS = 10
PROVEN = 0.05  # a result that guessing gives less often is one
ABOUT = f"""\
X is the original or the restored sound, drawn anew in each of {ROUNDS} rounds. Listen to A, B and X as often
as you like, then say which one X is. Whether you were right is told at the end."""


@dataclass
class BlindTest:
    """A test that is being done.

    Attributes:
        a, b: files of the two sounds.
        hidden: which of them X is in each round so far, "a" or "b".
        answers: what was said, one fewer while a round is open.
    """

    a: Path
    b: Path
    hidden: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all rounds are."""
        return len(self.answers) >= ROUNDS

    @property
    def right(self) -> int:
        """Answers that were right."""
        return sum(said == was for said, was in zip(self.answers, self.hidden, strict=False))

    @property
    def p_value(self) -> float:
        """Probability of at least so many right answers by guessing: binomial, one-sided."""
        return float(binomtest(self.right, max(1, len(self.answers)), 0.5, alternative="greater").pvalue)

    def next_round(self, shelf: Shelf) -> Path:
        """Draw what X is, and return its file, which tells nothing by its name."""
        self.hidden.append(secrets.choice("ab"))
        source = self.a if self.hidden[-1] == "a" else self.b
        return Path(shutil.copyfile(source, shelf.place(f"x{source.suffix}")))

    def verdict(self) -> str:
        """What the answers prove, in words."""
        chance = f"Who only guesses has at least that many right with a probability of {self.p_value:.1%}"
        heard = (
            "so you very likely hear a difference."
            if self.p_value < PROVEN
            else "so this shows no difference that you hear; nor does it show that there is none."
        )
        rounds = " ".join(
            f"{number}: {'right' if said == was else 'wrong'},"
            for number, (said, was) in enumerate(zip(self.answers, self.hidden, strict=True), 1)
        )
        result = f"**{self.right} of {ROUNDS} right** (p = {self.p_value:.3f})."
        return f"{result} {chance}, {heard}\n\n{rounds[:-1]}."


def comparison(shelf: Shelf) -> list[Any]:
    """Add the switch between two sounds and the blind test; returns what `ready` gives values for."""
    player, test = ab_player(elem_id="ab"), gr.State()
    with gr.Accordion("Blind test: do you hear a difference?", open=False, elem_id="blind"):
        gr.Markdown(ABOUT)
        said = gr.Markdown("", elem_id="blind-said")
        begin = gr.Button("Begin the blind test", elem_id="blind-begin")
        with gr.Row():
            is_a = gr.Button("X is A", visible=False, elem_id="x-is-a")
            is_b = gr.Button("X is B", visible=False, elem_id="x-is-b")

    def show(state: BlindTest, text: str, x: Path | None) -> list[Any]:
        going = gr.update(visible=x is not None)
        again = gr.update(visible=x is None, value="Do it again" if state.answers else "Begin the blind test")
        return [state, versions(state.a, state.b, x), text, again, going, going]

    def start(state: BlindTest | None) -> list[Any]:
        if state is None:
            raise failure("there is no sound yet: compress one first")
        fresh = BlindTest(state.a, state.b)
        return show(fresh, f"Round 1 of {ROUNDS}.", fresh.next_round(shelf))

    def answer(state: BlindTest, which: str) -> list[Any]:
        state.answers.append(which)
        if state.done:
            return show(state, state.verdict(), None)
        return show(state, f"Round {len(state.answers) + 1} of {ROUNDS}.", state.next_round(shelf))

    outputs = [test, player, said, begin, is_a, is_b]
    how: dict[str, Any] = {
        "outputs": outputs,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    begin.click(start, [test], **how)
    is_a.click(lambda state: answer(state, "a"), [test], **how)
    is_b.click(lambda state: answer(state, "b"), [test], **how)
    return outputs


def ready(original: Path, restored: Path) -> list[Any]:
    """Values for the outputs of `comparison`: the two sounds, no test begun."""
    hidden = gr.update(visible=False)
    begin = gr.update(visible=True, value="Begin the blind test")
    return [BlindTest(original, restored), versions(original, restored), "", begin, hidden, hidden]
