// One sound: heard while it is made and afterwards. Its value is [name, begin], see sound_player.py.
const part = name => element.querySelector('.' + name);
const canvas = element.querySelector('canvas'), button = part('play'), position = part('position');
const BINS = 480;  // of the drawn wave
// What all players of the page share. Browsers allow no sound before a gesture of the user.
const page = window.soundloom ??= {contexts: new Map(), volume: 1, asked: Promise.resolve()};
if (!page.listens) {
  page.listens = true;
  for (const gesture of ['pointerdown', 'pointerup', 'keydown'])
    document.addEventListener(gesture, () => page.contexts.forEach(each => each.resume()), {capture: true});
}
let sound = null;  // {name, rate, total, have, done, channels: [Float32Array], peaks: Float32Array}
let run = null;  // what plays: {context, gain, sources, zero: frame of the context at the sound's first, end}
let at = 0;  // frame at which it stands while nothing plays

// One question of the page after the other: side by side they would take up the browser's connections.
function ask(question) {
  const answer = page.asked.then(() => server.listen(question));
  page.asked = answer.catch(() => {});
  return answer;
}
function contextOf(rate) {
  if (!page.contexts.has(rate)) page.contexts.set(rate, new AudioContext({sampleRate: rate}));
  const context = page.contexts.get(rate);
  context.resume();
  return context;
}
function standing() {
  if (!run || run.end === at) return at;
  const frame = Math.floor(run.context.currentTime * sound.rate - run.zero);
  return Math.min(Math.max(frame, at), run.end);
}
function schedule(first, last) {
  const {context, gain} = run;
  const buffer = context.createBuffer(sound.channels.length, last - first, sound.rate);
  sound.channels.forEach((samples, c) => buffer.copyToChannel(samples.subarray(first, last), c));
  const source = new AudioBufferSourceNode(context, {buffer});
  source.connect(gain);
  // Whole samples from a start on the grid: then the pieces meet exactly.
  const now = context.currentTime * sound.rate;
  if (run.zero + first < now) run.zero = Math.ceil(now + 0.05 * sound.rate) - first;
  source.start((run.zero + first) / sound.rate);
  run.end = last;
  run.sources.push(source);
  element.dataset.scheduled = run.end;
}
function more() {
  if (!run || run.end >= sound.have) return;
  // Where making is slower than playing, wait until the rest will come in time.
  const made = (performance.now() - sound.began) / 1000 / Math.max(sound.have, 1);
  const left = (sound.total - sound.have) * made;
  run.started ||= sound.done || left < 0.9 * (sound.total - run.end) / sound.rate;
  if (run.started) schedule(run.end, sound.have);
}
function play() {
  if (run || !sound) return;
  document.dispatchEvent(new CustomEvent('soundloom-hush', {detail: element}));
  if (sound.done && at >= sound.have) at = 0;
  const context = contextOf(sound.rate);
  const gain = new GainNode(context, {gain: page.volume});
  gain.connect(context.destination);
  run = {context, gain, sources: [], zero: -Infinity, end: at, started: false};
  more();
  show();
  requestAnimationFrame(tick);
}
function pause() {
  if (!run) return;
  at = standing();
  for (const source of run.sources) source.stop();
  run.gain.disconnect();
  run = null;
  show();
}
function tick() {
  if (!run || !element.isConnected) return pause();
  if (sound.done && run.end >= sound.have && standing() >= sound.have) {
    pause();
    at = 0;
  } else requestAnimationFrame(tick);
  show();
}
const seconds = frames => (frames / (sound?.rate || 1)).toFixed(1);
function show() {
  button.disabled = position.disabled = !sound;
  button.querySelector('path').setAttribute('d', run ? 'M6 5h4v14H6zM14 5h4v14h-4z' : 'M8 5v14l11-7z');
  button.setAttribute('aria-label', run ? 'Pause' : 'Play');
  const now = standing(), total = sound?.total || 0;
  if (position.max !== seconds(total)) position.max = seconds(total);
  position.value = seconds(now);
  position.setAttribute('aria-valuetext', `${seconds(now)} of ${seconds(total)} seconds`);
  const text = !sound ? '' : !sound.done && !run ? `${seconds(sound.have)} / ${seconds(total)} s`
    : run && !run.started ? 'waiting \u2026' : `${seconds(now)} / ${seconds(total)} s`;
  if (part('time').textContent !== text) part('time').textContent = text;
  draw(total ? now / total : 0);
}
function draw(share) {
  const scale = window.devicePixelRatio, width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const pen = canvas.getContext('2d'), colour = name => getComputedStyle(element).getPropertyValue(name);
  pen.clearRect(0, 0, width, height);
  if (!sound || !width) return;
  const [played, rest] = [colour('--primary-500'), colour('--neutral-400')];
  for (let bin = 0; bin < BINS; bin++) {
    pen.fillStyle = bin < share * BINS ? played : rest;
    const tall = Math.max(scale, sound.peaks[bin] * height);
    if (bin * sound.total < sound.have * BINS)
      pen.fillRect(bin * width / BINS, (height - tall) / 2, Math.max(1, 0.7 * width / BINS), tall);
  }
}
function append(answer) {
  if (!sound.rate) {
    Object.assign(sound, {rate: answer.rate, total: answer.total});
    sound.channels = Array.from({length: answer.channels}, () => new Float32Array(answer.total));
  }
  const bytes = Uint8Array.from(atob(answer.samples), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer), count = bytes.length / 2 / answer.channels;
  for (let i = 0; i < count && sound.have + i < sound.total; i++)
    sound.channels.forEach((samples, c) => {
      const value = view.getInt16(2 * (i * answer.channels + c), true) / 32768;
      const bin = Math.floor((sound.have + i) * BINS / sound.total);
      samples[sound.have + i] = value;
      if (Math.abs(value) > sound.peaks[bin]) sound.peaks[bin] = Math.abs(value);
    });
  sound.have = Math.min(sound.have + count, sound.total);
  sound.done = answer.done;
}
async function load(value) {
  pause();
  sound = null;
  at = 0;
  const [name, begin] = value || [];
  show();
  if (!name) return;
  const mine = {name, rate: 0, total: 0, have: 0, done: false, peaks: new Float32Array(BINS + 1), channels: []};
  mine.began = performance.now();
  element.dataset.total = element.dataset.scheduled = '';
  sound = mine;
  do {
    let answer = null;
    try { answer = await ask([name, mine.have]); } catch { /* the server is gone */ }
    if (sound !== mine) return;
    if (!answer?.total) {
      pause();
      sound = null;
      show();
      part('time').textContent = answer ? 'no longer kept' : 'no connection';
      return;
    }
    const first = !mine.rate;
    append(answer);
    if (first && begin) play();
    more();
    show();
    if (!answer.samples && !mine.done) await new Promise(after => setTimeout(after, 150));
  } while (!mine.done);
  // Cut short: what was made is all. The wave is drawn over the whole width.
  if (mine.have < mine.total) {
    const old = mine.peaks, share = mine.have / mine.total;
    mine.peaks = old.map((_, bin) => old[Math.floor(bin * share)]);
    mine.total = mine.have;
  }
  element.dataset.total = mine.total;
  show();
}
button.addEventListener('click', () => run ? pause() : play());
position.addEventListener('input', () => {
  const playing = run !== null, wanted = Math.round(position.value * sound.rate);
  pause();
  at = Math.min(wanted, sound.have);
  if (playing) play(); else show();
});
part('volume').addEventListener('input', event => {
  page.volume = Number(event.target.value);
  document.dispatchEvent(new Event('soundloom-volume'));
});
document.addEventListener('soundloom-volume', () => {
  part('volume').value = page.volume;
  if (run) run.gain.gain.value = page.volume;
});
document.addEventListener('soundloom-hush', event => { if (event.detail !== element) pause(); });
new ResizeObserver(show).observe(canvas);
load(props.value);
watch('value', () => load(props.value));
