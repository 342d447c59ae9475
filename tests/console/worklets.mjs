// The two worklets of the talk page, in a stand-in for a browser's audio thread: 128 frames at a
// time, at rates that browsers have. The folder of the built files is the first argument.
import assert from "node:assert";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const folder = resolve(process.argv[2]);
const BLOCK = 128;
const made = {};

globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.said = [];
    this.port = { postMessage: (message) => this.said.push(message), onmessage: null };
  }
};
globalThis.registerProcessor = (name, type) => (made[name] = type);

// A worklet of a context of this rate: a module reads `sampleRate` when it makes its processor.
async function processor(name, rate) {
  globalThis.sampleRate = rate;
  if (!made[name]) await import(pathToFileURL(`${folder}/${name}.js`).href);
  return new made[name]();
}

const sine = (hz, rate) => (i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rate);

// How far samples are from a sine of this pitch, whatever its phase: rms of the rest.
function unlike(some, hz, rate) {
  const samples = some.slice(0, some.length - (some.length % (rate / 20))); // whole periods
  let [s, c, power] = [0, 0, 0];
  samples.forEach((x, i) => {
    s += x * Math.sin((2 * Math.PI * hz * i) / rate);
    c += x * Math.cos((2 * Math.PI * hz * i) / rate);
    power += x * x;
  });
  const n = samples.length;
  return Math.sqrt(Math.max(0, power / n - 2 * ((s / n) ** 2 + (c / n) ** 2)));
}

async function captures(rate) {
  const p = await processor("capture", rate);
  const wave = sine(440, rate);
  for (let at = 0; at < rate; at += BLOCK)
    p.process([[Float32Array.from({ length: BLOCK }, (_, i) => wave(at + i))]], []);
  const pieces = p.said.map((m) => new Int16Array(m.pcm));
  assert(pieces.length >= 49 && pieces.length <= 50, `${pieces.length} pieces at ${rate}`);
  assert(pieces.every((piece) => piece.length === 320));
  const all = pieces.flatMap((piece) => Array.from(piece, (x) => x / 32767)).slice(320);
  assert(unlike(all, 440, 16000) < 0.0005, `440 Hz at ${rate}: ${unlike(all, 440, 16000)}`);
  assert(Math.abs(p.said[10].level - 0.5 / Math.SQRT2) < 0.01, "its level");
  assert.equal(p.process([[]], []), true, "no microphone yet");
}

// Above half of 16 kHz nothing may come through.
async function filters(rate) {
  const p = await processor("capture", rate);
  const wave = sine(11000, rate);
  for (let at = 0; at < rate / 2; at += BLOCK)
    p.process([[Float32Array.from({ length: BLOCK }, (_, i) => wave(at + i))]], []);
  assert(p.said.slice(2).every((m) => m.level < 0.01), `11 kHz at ${rate}: ${p.said[5].level}`);
}

function piece(at, hz = 440) {
  const wave = sine(hz, 16000);
  return Int16Array.from({ length: 320 }, (_, i) => Math.round(32767 * wave(at + i))).buffer;
}

function play(p, blocks) {
  const out = [];
  for (let i = 0; i < blocks; i++) {
    const block = new Float32Array(BLOCK);
    p.process([], [[block]]);
    out.push(...block);
  }
  return out;
}

const marks = (p) => p.said.filter((m) => m.mark !== undefined).map((m) => m.mark);
const seconds = (n, rate) => Math.ceil((n * rate) / BLOCK);

async function plays(rate) {
  const p = await processor("playback", rate);
  p.port.onmessage({ data: { mark: "before" } });
  for (let i = 0; i < 50; i++) p.port.onmessage({ data: { pcm: piece(i * 320) } });
  p.port.onmessage({ data: { mark: "after" } });
  const out = play(p, seconds(0.5, rate));
  assert.deepEqual(marks(p), ["before"]);
  const wrong = unlike(out.slice(2000), 440, rate);
  assert(wrong < 0.0005, `440 Hz at ${rate}: ${wrong}`);
  const rest = play(p, seconds(0.6, rate));
  assert.deepEqual(marks(p), ["before", "after"]);
  assert(rest.slice(-BLOCK).every((x) => x === 0), "silence at the end");
  const sound = [...out, ...rest].filter((x) => x !== 0).length / rate;
  assert(Math.abs(sound - 1) < 0.01, `${sound} s of sound`);
}

// A clear is silence from the next block on; what was in it is not told as heard.
async function clears(rate) {
  const p = await processor("playback", rate);
  for (let i = 0; i < 50; i++) p.port.onmessage({ data: { pcm: piece(i * 320) } });
  p.port.onmessage({ data: { mark: "never" } });
  assert(play(p, 20).some((x) => x !== 0));
  p.port.onmessage({ data: { clear: true } });
  assert(play(p, 400).every((x) => x === 0), "not a sample more");
  assert.deepEqual(marks(p), []);
  for (let i = 0; i < 25; i++) p.port.onmessage({ data: { pcm: piece(i * 320, 700) } });
  const out = play(p, seconds(0.4, rate)).slice(1000);
  assert(unlike(out, 700, rate) < 0.0005, "what comes next is whole");
}

// A little sound begins all the same, once nothing more comes.
async function doesNotWaitForever(rate) {
  const p = await processor("playback", rate);
  p.port.onmessage({ data: { pcm: piece(0) } });
  p.port.onmessage({ data: { mark: "short" } });
  assert.equal(play(p, seconds(0.04, rate)).filter((x) => x !== 0).length, 0);
  play(p, seconds(0.1, rate));
  assert.deepEqual(marks(p), ["short"]);
}

async function bounds(rate) {
  const p = await processor("playback", rate);
  for (let i = 0; i < 1000; i++) p.port.onmessage({ data: { pcm: piece(i * 320) } }); // 20 s
  const out = play(p, seconds(21, rate));
  const sound = out.filter((x) => x !== 0).length / rate;
  assert(sound > 8 && sound < 8.3, `${sound} s of 20 were kept`);
}

let count = 0;
for (const rate of [48000, 44100, 16000]) {
  for (const test of [captures, filters, plays, clears, doesNotWaitForever, bounds]) {
    if (test === filters && rate === 16000) continue; // there is nothing above
    try {
      await test(rate);
      count++;
    } catch (error) {
      console.error(`${test.name} at ${rate}: ${error.message}`);
      process.exit(1);
    }
  }
}
console.log(`${count} cases of the worklets`);
