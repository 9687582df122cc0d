"""Switch between two versions of a sound, or three in a blind test, without losing the place in time.

gr.Audio would load a file anew for every switch. Here the page plays all versions at once, sample by sample
together, and lets one of them be heard.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData


def ab_player(*, elem_id: str) -> gr.HTML:
    """Add the player to the page; it plays what `versions` gives as its value."""
    return gr.HTML(
        None,
        html_template=TEMPLATE,
        css_template=STYLE,
        js_on_load=SCRIPT,
        elem_id=elem_id,
    )


def versions(a: Path, b: Path, x: Path | None = None) -> dict[str, Any]:
    """The value of an `ab_player`: files of the same length, and in a blind test one that is either."""
    files = {"a": a, "b": b} | ({} if x is None else {"x": x})
    return {which: FileData(path=str(path)).model_dump() for which, path in files.items()}


TEMPLATE = """<div class="ab" role="group" aria-label="Switch between the two sounds">
<button type="button" class="play">Play</button>
<button type="button" data-which="a" aria-pressed="true">A: original</button>
<button type="button" data-which="b" aria-pressed="false">B: restored</button>
<button type="button" data-which="x" aria-pressed="false" hidden>X: which is it?</button>
<input type="range" min="0" max="1" step="0.001" value="0" aria-label="Place in the sound">
<output class="time">0.0 s</output>
<label><input type="checkbox" class="again" checked> repeat</label>
</div>"""
STYLE = """
.ab { display: flex; flex-wrap: wrap; gap: 0.6em; align-items: center; }
.ab button {
  padding: 0.45em 1em; border: 1px solid var(--border-color-primary); border-radius: 0.4em;
  background: var(--button-secondary-background-fill); color: var(--body-text-color); font-weight: 600;
}
.ab button[aria-pressed=true] { background: var(--primary-700); color: white; }
.ab :is(button, input):focus-visible { outline: 3px solid var(--primary-500); outline-offset: 2px; }
.ab button[hidden] { display: none; }
.ab input[type=range] { flex: 1 1 8em; min-width: 8em; accent-color: var(--primary-600); }
.ab .time { min-width: 4em; font-variant-numeric: tabular-nums; }
"""
SCRIPT = """
const find = selector => element.querySelector(selector);
let context = null, buffers = {}, gains = {}, sources = [], chosen = 'a';
let playing = false, began = 0, place = 0, loading = null, generation = 0;

const duration = () => buffers.a?.duration ?? 0;
function now() {
  if (!playing) return place;
  const passed = context.currentTime - began;
  return find('.again').checked ? passed % duration() : Math.min(passed, duration());
}
async function load() {
  context ??= new AudioContext();
  const mine = generation, value = props.value ?? {};
  const entries = await Promise.all(Object.entries(value).map(async ([which, file]) => {
    const data = await (await fetch(file.url)).arrayBuffer();
    return [which, await context.decodeAudioData(data)];
  }));
  if (mine === generation) buffers = Object.fromEntries(entries);
}
function choose(which) {
  chosen = which;
  for (const button of element.querySelectorAll('[data-which]'))
    button.setAttribute('aria-pressed', button.dataset.which === which);
  for (const [name, gain] of Object.entries(gains)) {
    gain.gain.cancelScheduledValues(context.currentTime);
    gain.gain.setTargetAtTime(name === which ? 1 : 0, context.currentTime, 0.004);  // no click
  }
  report();
}
function stop() {
  place = now();
  for (const source of sources) { source.onended = null; source.stop(); }
  sources = []; gains = {}; playing = false;
  find('.play').textContent = 'Play';
  report();
}
async function start() {
  find('.play').disabled = true;
  try { loading ??= load(); await loading; await context.resume(); }
  catch { loading = null; find('.time').textContent = 'cannot be played'; return; }
  finally { find('.play').disabled = false; }
  if (!buffers.a || playing) return;
  if (place >= duration() - 0.01) place = 0;
  began = context.currentTime + 0.02 - place;
  for (const [name, buffer] of Object.entries(buffers)) {
    const gain = new GainNode(context, {gain: name === chosen ? 1 : 0});
    const source = new AudioBufferSourceNode(context, {buffer, loop: find('.again').checked});
    source.connect(gain).connect(context.destination);
    source.start(context.currentTime + 0.02, place);
    sources.push(source); gains[name] = gain;
  }
  sources[0].onended = () => { stop(); place = 0; report(); };
  playing = true;
  find('.play').textContent = 'Pause';
  tick();
}
function report() {
  const at = now(), slider = find('[type=range]');
  find('.time').textContent = `${at.toFixed(1)} s`;
  if (document.activeElement !== slider && duration()) slider.value = at / duration();
  Object.assign(element.dataset, {playing, chosen, place: at});
}
function tick() { if (playing) { report(); requestAnimationFrame(tick); } }
async function go(to) {
  const going = playing;
  if (going) stop();
  place = to * duration();
  if (going) await start(); else report();
}
element.addEventListener('click', event => {
  const which = event.target.dataset.which;
  if (which) choose(which);
  else if (event.target.matches('.play')) { if (playing) stop(); else start(); }
});
element.addEventListener('change', event => {
  if (event.target.matches('[type=range]')) go(Number(event.target.value));
  else for (const source of sources) source.loop = event.target.checked;
});
watch('value', () => {
  generation++;
  if (playing) stop();
  loading = null; buffers = {};
  const blind = Boolean(props.value?.x);
  find('[data-which=x]').hidden = !blind;
  if (!blind) place = 0;
  choose(blind ? 'x' : 'a');
});
"""
