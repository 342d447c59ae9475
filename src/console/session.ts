// One call's connection: a token of this server's, a socket, and its messages. It knows no page
// and no audio device. What it speaks: docs/protocols/browser.md.

export interface Words {
  turn: number;
  role: "user" | "assistant";
  text: string;
  final: boolean;
  cut: boolean;
  keys: boolean;
}

export interface Latency {
  turn: number;
  barge_in: boolean;
  keys: boolean;
  last_voiced_ms: number | null;
  decided_ms: number | null;
  stt_final_ms: number | null;
  first_token_ms: number | null;
  first_tts_ms: number | null;
  first_audible_ms: number | null;
}

export interface SessionEvents {
  ready(id: string): void;
  audio(pcm: ArrayBuffer): void;
  mark(name: string): void;
  clear(): void;
  words(words: Words): void;
  state(state: string): void;
  latency(latency: Latency): void;
  closed(code: number, reason: string): void;
}

export class Refused extends Error {}

const READY_WAIT_MS = 8000;
const BUFFERED_MAX = 64000; // bytes: two seconds of sound; more says that nobody takes it

async function mint(agent: string): Promise<URL> {
  let answer: Response;
  try {
    answer = await fetch("/media-tokens", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ agent }),
    });
  } catch {
    throw new Refused("The server cannot be reached. Is it running?");
  }
  const body = (await answer.json().catch(() => null)) as {
    url?: string;
    error?: { code?: string; message?: string };
  } | null;
  if (answer.status === 404) throw new Refused(`There is no agent named “${agent}”.`);
  if (!answer.ok || !body?.url)
    throw new Refused(`The server does not take calls now: ${body?.error?.message ?? answer.status}.`);
  return new URL(body.url);
}

export class Session {
  private id = "";
  private over = false;
  private readonly timer: number;

  private constructor(
    private readonly socket: WebSocket,
    private readonly token: string,
    private readonly events: SessionEvents,
  ) {
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send({ type: "auth", token: this.token, binary: true });
    socket.onmessage = (event: MessageEvent) => this.take(event.data as string | ArrayBuffer);
    socket.onclose = (event: CloseEvent) => this.end(event.code, event.reason);
    this.timer = window.setTimeout(() => this.end(1006, "no answer"), READY_WAIT_MS);
  }

  // The token goes in the first message: in the address it would stand in every proxy's log.
  static async open(agent: string, events: SessionEvents): Promise<Session> {
    const url = await mint(agent);
    const path = url.pathname.split("/");
    const token = decodeURIComponent(path.pop() ?? "");
    url.pathname = path.join("/");
    return new Session(new WebSocket(url), token, events);
  }

  private send(message: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  sendAudio(pcm: ArrayBuffer): void {
    if (this.id && this.socket.readyState === WebSocket.OPEN &&
        this.socket.bufferedAmount < BUFFERED_MAX)
      this.socket.send(pcm);
  }

  sendHeard(name: string): void {
    this.send({ type: "mark", name });
  }

  sendDigit(digit: string): void {
    this.send({ type: "dtmf", digit });
  }

  hangUp(): void {
    this.send({ type: "stop" });
    this.end(1000, "you hung up");
  }

  private end(code: number, reason: string): void {
    if (this.over) return;
    this.over = true;
    window.clearTimeout(this.timer);
    this.socket.close();
    this.events.closed(code, reason);
  }

  private take(data: string | ArrayBuffer): void {
    if (this.over) return;
    if (typeof data !== "string") {
      this.events.audio(data);
      return;
    }
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(data) as Record<string, unknown>;
    } catch {
      return; // not for us, then
    }
    this.dispatch(message);
  }

  private dispatch(message: Record<string, unknown>): void {
    switch (message.type) {
      case "ready":
        this.id = String(message.session_id);
        window.clearTimeout(this.timer);
        this.events.ready(this.id);
        break;
      case "mark":
        this.events.mark(String(message.name));
        break;
      case "clear":
        this.events.clear();
        break;
      case "transcript":
        this.events.words({ cut: false, keys: false, ...message } as unknown as Words);
        break;
      case "state":
        this.events.state(String(message.state));
        break;
      case "latency":
        this.events.latency(message as unknown as Latency);
        break;
    }
  }
}
