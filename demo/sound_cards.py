"""The sounds that were made last, side by side: each with player, spectrogram, and what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..core.audio import read_audio
from .live import LiveSounds
from .made_sound import MadeSound
from .sound_maker import MAX_VARIATIONS, Making
from .sound_player import sound_player
from .spectrogram_images import spectrogram

KEEP, KEPT = "☆ Keep", "★ Kept"
START = "Go on"
Updates = dict[Block, Any]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The components of one sound."""

    column: gr.Column
    player: gr.HTML
    picture: gr.Image
    facts: gr.HTML
    buttons: gr.Row
    keep: gr.Button
    start: gr.Button
    download: gr.DownloadButton

    @property
    def blocks(self) -> list[Block]:
        """All that changes."""
        return [self.column, self.player, self.picture, self.facts, self.buttons, self.keep, self.download]


def sound_cards(sounds: LiveSounds) -> list[Card]:
    """Add them to the page, all of them hidden."""
    with gr.Row(elem_id="cards", equal_height=False):
        return [_card(sounds, number) for number in range(1, MAX_VARIATIONS + 1)]


def _card(sounds: LiveSounds, number: int) -> Card:
    with gr.Column(min_width=250, visible=False, elem_id=f"card-{number}", elem_classes="card") as column:
        player = sound_player(sounds, f"Sound {number}", elem_id=f"player-{number}")
        facts = gr.HTML(elem_id=f"facts-{number}", elem_classes="facts")
        with gr.Row(visible=False, elem_classes="do") as buttons:
            keep = gr.Button(KEEP, size="sm", min_width=60, elem_id=f"keep-{number}")
            start = gr.Button(START, size="sm", min_width=60, elem_id=f"start-{number}")
            download = gr.DownloadButton("Download", size="sm", min_width=60, elem_id=f"download-{number}")
        picture = gr.Image(
            show_label=False,
            alt_text=f"Spectrogram of sound {number}",
            interactive=False,
            format="png",
            buttons=[],
            visible=False,
            elem_id=f"spectrogram-{number}",
            elem_classes="spectrogram",
        )
    return Card(
        column=column,
        player=player,
        picture=picture,
        facts=facts,
        buttons=buttons,
        keep=keep,
        start=start,
        download=download,
    )


def clear_cards(cards: Sequence[Card]) -> Updates:
    """Hide the cards and silence them: what they show belongs to another prompt."""
    return {
        block: gr.update(visible=False, **({"value": None} if block is card.player else {}))
        for card in cards
        for block in (card.column, card.picture, card.buttons, card.player)
    } | {card.facts: "" for card in cards}


def show_making(cards: Sequence[Card], making: Making, listen: bool) -> Updates:
    """Show the players of sounds that are being made; the first one begins to play if that is wanted."""
    if not making.heard:
        return {}
    updates: Updates = {}
    for number, (card, name) in enumerate(zip(cards, making.names, strict=False)):
        updates[card.column] = gr.update(visible=True)
        updates[card.player] = gr.update(visible=True, value=[name, listen and not number])
    return updates


def show_made(cards: Sequence[Card], sounds: Sequence[MadeSound], heard: bool) -> Updates:
    """Show finished sounds; their players have them already where they were `heard` while they were made."""
    updates: Updates = {}
    for card, sound in zip(cards, sounds, strict=False):
        samples, rate = read_audio(sound.file)
        updates |= {
            card.column: gr.update(visible=True),
            card.picture: gr.update(visible=True, value=spectrogram(samples.mean(0).numpy(), rate)),
            card.facts: f"<p>{escape(sound.facts())}</p>",
            card.buttons: gr.update(visible=True),
            card.keep: KEEP,
            card.download: str(sound.file),
        }
        if not heard:
            updates[card.player] = gr.update(visible=True, value=[sound.name, False])
    return updates
