"""The page's player: one for a sound that is being made and for the finished one, with position and volume.

Gradio's gr.Audio plays finished files only (or needs ffmpeg), so a page with it has two players for a sound.
This one asks live.py for samples, draws them as a wave and hands them to the browser's Web Audio, which
plays them without a gap; the script is in sound_player.js.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from .live import LiveSounds

HUSH = "() => document.dispatchEvent(new Event('soundloom-hush'))"  # JavaScript that pauses every player

TEMPLATE = """\
<div class="sound" role="group" aria-label="CALLED">
  <button class="play" type="button" aria-label="Play" disabled>
    <svg viewBox="0 0 24 24" aria-hidden="true"><path/></svg></button>
  <div class="wave">
    <canvas aria-hidden="true"></canvas>
    <input class="position" type="range" min="0" max="1" step="0.01" value="0" aria-label="Position" disabled>
  </div>
  <span class="time">0.0 s</span>
  <label class="loudness">
    <svg viewBox="0 0 24 24" aria-hidden="true"><path
      d="M3 9v6h4l5 5V4L7 9zm13 3a4 4 0 0 0-2-3.5v7a4 4 0 0 0 2-3.5z"/></svg>
    <input class="volume" type="range" min="0" max="1" step="0.05" value="1" aria-label="Volume"></label>
</div>"""
STYLE = """
.sound {
  display: grid; grid-template-columns: auto 1fr auto; gap: 0.3rem 0.8rem; align-items: center;
  grid-template-areas: "wave wave wave" "play time loudness";
}
.sound.one-line { grid-template-columns: auto 1fr auto; grid-template-areas: "play wave time"; }
.one-line .loudness { display: none; }
.play {
  grid-area: play; width: 2.5rem; height: 2.5rem; padding: 0; border-radius: 50%;
  display: grid; place-items: center;  color: white; background: var(--primary-700);
}
.play svg { width: 1.3rem; height: 1.3rem; fill: white; }
.play:disabled { background: var(--neutral-400); }
.wave { grid-area: wave; position: relative; height: 3.5rem; min-width: 5rem; }
.wave canvas { width: 100%; height: 100%; display: block; }
.position {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0;
  appearance: none; background: none; cursor: pointer;
}
.position::-webkit-slider-runnable-track { height: 100%; background: none; border: none; }
.position::-webkit-slider-thumb {
  appearance: none; width: 3px; height: 3.5rem; margin: 0; border: none; border-radius: 2px;
  background: var(--body-text-color); box-shadow: none;
}
.position::-moz-range-track { background: none; }
.position::-moz-range-thumb {
  width: 3px; height: 100%; border: none; border-radius: 2px; background: var(--body-text-color);
}
.time { grid-area: time; font-variant-numeric: tabular-nums; font-size: 0.85rem; white-space: nowrap; }
.one-line .time { min-width: 6.2em; text-align: right; }
.loudness svg { width: 1.1rem; height: 1.1rem; fill: var(--body-text-color); }
.loudness { grid-area: loudness; display: flex; align-items: center; gap: 0.3rem; }
.volume { width: 4.5rem; min-width: 3rem; accent-color: var(--primary-600); }
"""


@cache
def script() -> str:
    """The player's JavaScript."""
    return Path(__file__).with_name("sound_player.js").read_text(encoding="utf-8")


def sound_player(
    sounds: LiveSounds, label: str, value: Any = None, *, one_line: bool = False, **component: Any
) -> gr.HTML:
    """Add a player to the page.

    Args:
        sounds: where it asks for samples.
        label: what it is called for those who cannot see it; nothing that a user typed: it becomes
            part of a template, which browsers run.
        value: `[name, begin]`: of the sound, and whether to play it at once; None: no sound.
        one_line: put all in a line, without volume, which is the same for all players of the page.
        component: what else `gr.HTML` takes.
    """
    template = TEMPLATE.replace("CALLED", label)
    if one_line:
        template = template.replace('class="sound"', 'class="sound one-line"')

    async def listen(question: Any) -> dict[str, Any]:
        return await sounds.listen(question)

    return gr.HTML(
        value,
        html_template=template,
        css_template=STYLE,
        js_on_load=script(),
        server_functions=[listen],
        **component,
    )
