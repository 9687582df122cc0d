"""Play a sound in the browser while it is being generated, without ffmpeg.

gr.Audio(streaming=True) would encode with ffmpeg. Here the page fetches plain samples as they come and hands
them to the browser's Web Audio, which plays them without a gap.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import time
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from ..core.audio_blocks import to_pcm

WAIT_SECONDS = 1.0  # how long a question for more samples is left open
KEEP_SECONDS = 60.0  # how long samples wait for a page that has fallen behind
PART_SECONDS = 5.0  # at most so much goes out in one answer


class LiveSound:
    """One sound that grows; samples are mono and 16 bit, those that a file of it would hold.

    Args:
        total: samples that it will have.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = False
        self.ended = 0.0
        self._pieces: list[np.ndarray] = []
        self._lock = threading.Lock()

    def add(self, samples: Tensor) -> None:
        """Append samples float `[C, n]`."""
        piece = np.frombuffer(to_pcm(samples.mean(0, keepdim=True).cpu()), "<i2")
        with self._lock:
            self._pieces.append(piece)

    def finish(self) -> None:
        """No more samples will come."""
        self.done, self.ended = True, time.monotonic()

    def read(self, start: int, limit: int) -> np.ndarray:
        """At most `limit` samples from `start` on, int16 `[n]`; n is 0 while there are none."""
        with self._lock:
            # One piece, so that a long sound is not joined again for every question.
            self._pieces = [np.concatenate(self._pieces)] if self._pieces else []
            joined = self._pieces[0] if self._pieces else np.zeros(0, "<i2")
        return joined[start : start + limit]


class LiveSounds:
    """The sounds that are being made now, each under a name that only its own page gets to know."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._sounds: dict[str, LiveSound] = {}

    def start(self, total: int) -> tuple[str, LiveSound]:
        """Begin a sound of so many samples; those that ended a while ago are forgotten."""
        now = time.monotonic()
        for name, sound in list(self._sounds.items()):
            if sound.done and now - sound.ended > KEEP_SECONDS:
                self._sounds.pop(name, None)
        name = secrets.token_urlsafe(16)
        self._sounds[name] = LiveSound(total)
        return name, self._sounds[name]

    async def listen(self, question: Any) -> dict[str, Any]:
        """Answer a page that asks `[name, start]`, as soon as there is something new.

        Returns:
            `samples`: 16 bit little-endian, base64; `total`: samples of the whole; `done`: nothing follows.
        """
        match question:
            case [str(name), int(start)] if start >= 0 and name in self._sounds:
                sound = self._sounds[name]
            case _:
                return {"samples": "", "total": 0, "done": True}
        limit = int(PART_SECONDS * self.sample_rate)
        for _ in range(round(WAIT_SECONDS / 0.02)):
            done = sound.done  # before reading: what is added in between is not lost
            part = sound.read(start, limit)
            if len(part) or done:
                break
            await asyncio.sleep(0.02)
        return {
            "samples": base64.b64encode(part.tobytes()).decode(),
            "total": sound.total,
            "done": done and len(part) < limit,
        }


def live_player(sounds: LiveSounds, *, elem_id: str = "live") -> gr.HTML:
    """Add the player to the page; what gives it the name of a sound as its value makes it play that sound."""

    async def listen(question: Any) -> dict[str, Any]:
        return await sounds.listen(question)

    return gr.HTML(
        "",
        html_template=TEMPLATE,
        css_template=STYLE,
        js_on_load=SCRIPT,
        server_functions=[listen],
        elem_id=elem_id,
        rate=sounds.sample_rate,
    )


HUSH = "() => document.dispatchEvent(new Event('soundloom-hush'))"  # JavaScript that silences the player

TEMPLATE = """<div class="live" role="status"><span class="text"></span><button hidden>Mute</button></div>"""
STYLE = """
.live { display: flex; gap: 0.8em; align-items: center; font-size: 0.9rem; }
.live button {
  padding: 0.1em 0.7em; font-size: 0.9rem;
  border: 1px solid var(--border-color-primary); border-radius: 0.4em;
}
"""
SCRIPT = """
let context = null;  // made at a gesture of the user: browsers allow no sound before
let current = null;
const unlock = () => {
  context ??= new AudioContext({sampleRate: props.rate});
  context.resume();
};
for (const gesture of ['pointerdown', 'pointerup', 'keydown'])
  document.addEventListener(gesture, unlock, {capture: true});

function show(text, mute) {
  element.querySelector('.text').textContent = text;
  element.querySelector('button').hidden = !mute;
}
function hush() {
  if (!current) return;
  for (const source of current.sources) source.stop();
  current = null;
  show('', false);
}
document.addEventListener('soundloom-hush', hush);
element.addEventListener('click', event => { if (event.target.tagName === 'BUTTON') hush(); });

function decode(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({length: bytes.length / 2}, (_, i) => view.getInt16(2 * i, true) / 32768);
}
function schedule(run, samples) {
  const buffer = context.createBuffer(1, samples.length, props.rate);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, {buffer});
  source.connect(context.destination);
  // Whole samples from a start on the grid: then the pieces meet exactly.
  const now = context.currentTime * props.rate;
  if (run.frame < now) run.frame = Math.ceil(now + 0.05 * props.rate);
  source.start(run.frame / props.rate);
  run.frame += samples.length;
  run.sources.push(source);
}
async function play(name) {
  hush();
  if (!name) return;
  unlock();
  const run = current = {sources: [], frame: 0};
  const waiting = [];
  const began = performance.now();
  let have = 0, started = false, part;
  do {
    try { part = await server.listen([name, have]); } catch { part = null; }
    if (run !== current) return;
    if (!part || !part.total) return hush();
    const samples = decode(part.samples);
    have += samples.length;
    if (samples.length) waiting.push(samples);
    // Where making is slower than playing, wait until the rest will come in time.
    const left = (part.total - have) * (performance.now() - began) / 1000 / Math.max(have, 1);
    started ||= part.done || (have > 0 && left < 0.9 * part.total / props.rate);
    while (started && waiting.length) schedule(run, waiting.shift());
    element.dataset.scheduled = run.sources.reduce((sum, source) => sum + source.buffer.length, 0);
    const seconds = n => (n / props.rate).toFixed(1);
    show(`${started ? 'Playing' : 'Buffering'}: ${seconds(have)} of ${seconds(part.total)} s are made`, true);
  } while (!part.done);
  const last = run.sources.at(-1);
  if (last) last.onended = () => { if (run === current) hush(); };
  else hush();
}
watch('value', () => play(props.value));
"""
