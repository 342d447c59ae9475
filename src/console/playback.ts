// The loudspeaker's side, in the audio thread: 16 kHz from the page into a ring, out at the
// context's rate. A clear empties it within one block of 128 samples. A mark lies between two
// samples and is told when the first one behind it would be heard.
import { Kernel } from "./resample.js";

const RATE_HZ = 16000;
const RING = 131072; // 8 s; the server sends a fraction of a second ahead
const PRIME = 960; // 60 ms must be there before speech begins,
const PRIME_WAIT = 0.06; // or this many seconds have passed since its first sample
const LEVEL_EVERY = 1600; // samples between two levels told

interface Mark {
  name: string;
  at: number;
}

class Playback extends AudioWorkletProcessor {
  private readonly step = RATE_HZ / sampleRate;
  private readonly kernel = new Kernel(1);
  private readonly ring = new Float32Array(RING);
  private written = 0;
  private at = 0;
  private playing = false;
  private waited = 0; // seconds
  private marks: Mark[] = [];
  private energy = 0;
  private counted = 0;

  constructor() {
    super();
    this.port.onmessage = (event: MessageEvent): void => {
      const message = event.data as { pcm?: ArrayBuffer; mark?: string; clear?: boolean };
      if (message.pcm) this.push(new Int16Array(message.pcm));
      if (message.mark !== undefined) this.marks.push({ name: message.mark, at: this.written });
      if (message.clear) this.clear();
    };
  }

  private push(pcm: Int16Array): void {
    const room = RING - 64 - (this.written - Math.floor(this.at));
    const count = Math.min(pcm.length, room); // what does not fit is dropped: nobody sends so much
    for (let i = 0; i < count; i++) this.ring[this.written++ & (RING - 1)] = pcm[i] / 32768;
  }

  private clear(): void {
    this.marks = []; // what was cleared was not heard
    this.stop();
  }

  // What lies before the position and around it is silence again, for the next sample's filter.
  private stop(): void {
    const from = Math.max(0, Math.floor(this.at) - 64);
    for (let i = from; i < this.written; i++) this.ring[i & (RING - 1)] = 0;
    for (let i = 0; i < 64; i++) this.ring[(this.written + i) & (RING - 1)] = 0;
    this.at = this.written;
    this.playing = false;
    this.waited = 0;
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0][0];
    if (!this.playing && this.written > this.at) {
      this.waited += out.length / sampleRate;
      this.playing = this.written - this.at >= PRIME || this.waited >= PRIME_WAIT;
    }
    if (this.playing) this.fill(out);
    this.tell(out);
    for (let i = 1; i < outputs[0].length; i++) outputs[0][i].set(out);
    return true;
  }

  private fill(out: Float32Array): void {
    for (let i = 0; i < out.length; i++, this.at += this.step) {
      if (this.at >= this.written) {
        this.stop();
        return;
      }
      out[i] = this.kernel.value(this.ring, this.at);
    }
    /* Behind the newest samples lies what the ring held a round ago. */
    for (let i = 0; i < 32; i++) this.ring[(this.written + i) & (RING - 1)] = 0;
  }

  private tell(out: Float32Array): void {
    while (this.marks.length && this.marks[0].at <= this.at) {
      this.port.postMessage({ mark: this.marks[0].name });
      this.marks.shift();
    }
    for (let i = 0; i < out.length; i++) this.energy += out[i] * out[i];
    this.counted += out.length;
    if (this.counted < LEVEL_EVERY) return;
    this.port.postMessage({ level: Math.sqrt(this.energy / this.counted) });
    this.energy = 0;
    this.counted = 0;
  }
}

registerProcessor("playback", Playback);
