// The microphone's side, in the audio thread: whatever rate the context has becomes 16 kHz, cut
// into pieces of 20 ms. Each goes to the page as 16-bit samples with its level.
import { Kernel } from "./resample.js";

const RATE_HZ = 16000;
const PIECE = 320;
const RING = 4096; // samples; a power of two, and many times what one call brings

class Capture extends AudioWorkletProcessor {
  private readonly step = sampleRate / RATE_HZ;
  private readonly kernel = new Kernel(RATE_HZ / sampleRate);
  private readonly ring = new Float32Array(RING);
  private written = 0;
  private at = this.kernel.half; // where the next output sample lies
  private piece = new Int16Array(PIECE);
  private filled = 0;
  private energy = 0;

  process(inputs: Float32Array[][]): boolean {
    const channel = inputs[0]?.[0];
    if (!channel) return true;
    for (let i = 0; i < channel.length; i++) this.ring[this.written++ & (RING - 1)] = channel[i];
    for (; this.at + this.kernel.half + 1 < this.written; this.at += this.step) this.add();
    return true;
  }

  private add(): void {
    const value = Math.max(-1, Math.min(1, this.kernel.value(this.ring, this.at)));
    this.piece[this.filled++] = Math.round(value * 32767);
    this.energy += value * value;
    if (this.filled < PIECE) return;
    const level = Math.sqrt(this.energy / PIECE);
    this.port.postMessage({ pcm: this.piece.buffer, level }, [this.piece.buffer]);
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.energy = 0;
  }
}

registerProcessor("capture", Capture);
