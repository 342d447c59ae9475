// The loudspeaker's side, in the audio thread: 16 kHz from the page into a ring, out at the
// context's rate. A clear empties it within one block of 128 samples. A mark lies between two
// samples and is told when the first one behind it would be heard.
import { Kernel } from "./resample.js";
const RATE_HZ = 16000;
const RING = 131072; // 8 s; the server sends a fraction of a second ahead
const PRIME = 960; // 60 ms must be there before speech begins,
const PRIME_WAIT = 0.06; // or this many seconds have passed since its first sample
const LEVEL_EVERY = 1600; // samples between two levels told
class Playback extends AudioWorkletProcessor {
    constructor() {
        super();
        this.step = RATE_HZ / sampleRate;
        this.kernel = new Kernel(1);
        this.ring = new Float32Array(RING);
        this.written = 0;
        this.at = 0;
        this.playing = false;
        this.waited = 0; // seconds
        this.marks = [];
        this.energy = 0;
        this.counted = 0;
        this.port.onmessage = (event) => {
            const message = event.data;
            if (message.pcm)
                this.push(new Int16Array(message.pcm));
            if (message.mark !== undefined)
                this.marks.push({ name: message.mark, at: this.written });
            if (message.clear)
                this.clear();
        };
    }
    push(pcm) {
        const room = RING - 64 - (this.written - Math.floor(this.at));
        const count = Math.min(pcm.length, room); // what does not fit is dropped: nobody sends so much
        for (let i = 0; i < count; i++)
            this.ring[this.written++ & (RING - 1)] = pcm[i] / 32768;
    }
    clear() {
        this.marks = []; // what was cleared was not heard
        this.stop();
    }
    // What lies before the position and around it is silence again, for the next sample's filter.
    stop() {
        const from = Math.max(0, Math.floor(this.at) - 64);
        for (let i = from; i < this.written; i++)
            this.ring[i & (RING - 1)] = 0;
        for (let i = 0; i < 64; i++)
            this.ring[(this.written + i) & (RING - 1)] = 0;
        this.at = this.written;
        this.playing = false;
        this.waited = 0;
    }
    process(_inputs, outputs) {
        const out = outputs[0][0];
        if (!this.playing && this.written > this.at) {
            this.waited += out.length / sampleRate;
            this.playing = this.written - this.at >= PRIME || this.waited >= PRIME_WAIT;
        }
        if (this.playing)
            this.fill(out);
        this.tell(out);
        for (let i = 1; i < outputs[0].length; i++)
            outputs[0][i].set(out);
        return true;
    }
    fill(out) {
        for (let i = 0; i < out.length; i++, this.at += this.step) {
            if (this.at >= this.written) {
                this.stop();
                return;
            }
            out[i] = this.kernel.value(this.ring, this.at);
        }
        /* Behind the newest samples lies what the ring held a round ago. */
        for (let i = 0; i < 32; i++)
            this.ring[(this.written + i) & (RING - 1)] = 0;
    }
    tell(out) {
        while (this.marks.length && this.marks[0].at <= this.at) {
            this.port.postMessage({ mark: this.marks[0].name });
            this.marks.shift();
        }
        for (let i = 0; i < out.length; i++)
            this.energy += out[i] * out[i];
        this.counted += out.length;
        if (this.counted < LEVEL_EVERY)
            return;
        this.port.postMessage({ level: Math.sqrt(this.energy / this.counted) });
        this.energy = 0;
        this.counted = 0;
    }
}
registerProcessor("playback", Playback);
