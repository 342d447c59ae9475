// Where the time of each answer went: one bar per turn, from the caller's last voiced sample to the
// agent's first audible one, by the server's own ledger.
import type { Latency } from "./session.js";

const STAGES: [keyof Latency, string, string][] = [
  ["decided_ms", "end", "waiting for the end of the sentence"],
  ["stt_final_ms", "hear", "recognition"],
  ["first_token_ms", "think", "thinking of an answer"],
  ["first_tts_ms", "voice", "making the voice"],
  ["first_audible_ms", "out", "on its way out"],
];
const SCALE_MS = 1000;
const ROWS_MAX = 50;

export class Waterfall {
  private longest = SCALE_MS;
  private readonly bars: [HTMLElement, number][] = [];

  constructor(
    private readonly list: HTMLElement,
    private readonly empty: HTMLElement,
    private readonly typical: HTMLElement,
  ) {}

  reset(): void {
    this.bars.length = 0;
    this.longest = SCALE_MS;
    this.list.replaceChildren();
    this.empty.hidden = false;
    this.typical.textContent = "–";
  }

  show(latency: Latency): void {
    const from = latency.last_voiced_ms;
    const to = latency.first_audible_ms;
    if (from === null || to === null || to <= from) return; // the greeting, or pressed keys
    this.empty.hidden = true;
    const total = to - from;
    this.longest = Math.max(this.longest, total);
    const row = document.createElement("li");
    row.dataset.turn = String(latency.turn);
    row.dataset.ms = String(total);
    const label = document.createElement("span");
    label.className = "turn";
    label.textContent = `Turn ${latency.turn}`;
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", this.fill(bar, latency, from, total));
    const sum = document.createElement("span");
    sum.className = "sum";
    sum.textContent = `${total} ms`;
    row.append(label, bar, sum);
    this.list.append(row);
    this.bars.push([bar, total]);
    while (this.list.children.length > ROWS_MAX) this.list.firstElementChild?.remove();
    this.scale();
  }

  // The bar's parts; gives what they say in words.
  private fill(bar: HTMLElement, latency: Latency, from: number, total: number): string {
    const words: string[] = [];
    let at = from;
    for (const [key, name, meaning] of STAGES) {
      const until = latency[key];
      if (typeof until !== "number" || until <= at) continue;
      const part = document.createElement("i");
      part.className = name;
      part.title = `${meaning}: ${until - at} ms`;
      part.style.width = `${((until - at) / total) * 100}%`;
      bar.append(part);
      words.push(part.title);
      at = until;
    }
    return words.join(", ");
  }

  private scale(): void {
    for (const [bar, total] of this.bars) {
      bar.style.setProperty("--share", String(total / this.longest));
    }
    const ordered = this.bars.map(([, total]) => total).sort((a, b) => a - b);
    this.typical.textContent = `${ordered[Math.floor((ordered.length - 1) / 2)]} ms`;
  }
}
