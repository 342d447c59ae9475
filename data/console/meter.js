// A level as a bar: jumps up, falls slowly, 0 at -60 dB.
const FALL = 0.04; // of the whole, per frame
const FLOOR_DB = -60;
export class Meter {
    constructor(element) {
        this.element = element;
        this.wanted = 0;
        this.shown = 0;
        this.running = false;
    }
    set(level) {
        const db = level > 0 ? 20 * Math.log10(level) : FLOOR_DB;
        this.wanted = Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
        if (this.running)
            return;
        this.running = true;
        requestAnimationFrame(() => this.draw());
    }
    draw() {
        this.shown = Math.max(this.wanted, this.shown - FALL);
        this.element.style.setProperty("--level", this.shown.toFixed(3));
        this.element.setAttribute("aria-valuenow", String(Math.round(this.shown * 100)));
        this.running = this.shown > 0 || this.wanted > 0;
        if (this.running)
            requestAnimationFrame(() => this.draw());
    }
}
