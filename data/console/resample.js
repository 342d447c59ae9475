// Sample rates by a windowed sinc, for both worklets. A position between two samples is rounded to
// one of PHASES, which puts the error below what 16 bits tell apart in speech.
const PHASES = 512;
const WIDTH = 12; // zero crossings on each side
export class Kernel {
    // `share` of the input's band that is kept: 1, or less where the output's rate is lower.
    constructor(share) {
        const cut = Math.min(1, share) * 0.95;
        this.half = Math.ceil(WIDTH / cut);
        this.table = new Float32Array((PHASES + 1) * 2 * this.half);
        for (let phase = 0; phase <= PHASES; phase++)
            this.fill(phase, cut);
    }
    fill(phase, cut) {
        const taps = 2 * this.half;
        let sum = 0;
        for (let i = 0; i < taps; i++) {
            const x = i - this.half + 1 - phase / PHASES;
            const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / (this.half + 1));
            const sinc = x === 0 ? 1 : Math.sin(Math.PI * cut * x) / (Math.PI * cut * x);
            this.table[phase * taps + i] = sinc * window;
            sum += sinc * window;
        }
        for (let i = 0; i < taps; i++)
            this.table[phase * taps + i] /= sum;
    }
    // The value at `at` (in samples) of a ring whose length is a power of two.
    value(ring, at) {
        const whole = Math.floor(at);
        const taps = 2 * this.half;
        const row = Math.round((at - whole) * PHASES) * taps;
        const mask = ring.length - 1;
        let sum = 0;
        for (let i = 0; i < taps; i++)
            sum += this.table[row + i] * ring[(whole - this.half + 1 + i) & mask];
        return sum;
    }
}
