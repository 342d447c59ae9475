// One call's connection: a token of this server's, a socket, and its messages. It knows no page
// and no audio device. What it speaks: docs/protocols/browser.md.
export class Refused extends Error {
}
const READY_WAIT_MS = 8000;
const BUFFERED_MAX = 64000; // bytes: two seconds of sound; more says that nobody takes it
async function mint(agent) {
    let answer;
    try {
        answer = await fetch("/media-tokens", {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ agent }),
        });
    }
    catch {
        throw new Refused("The server cannot be reached. Is it running?");
    }
    const body = (await answer.json().catch(() => null));
    if (answer.status === 404)
        throw new Refused(`There is no agent named “${agent}”.`);
    if (!answer.ok || !body?.url)
        throw new Refused(`The server does not take calls now: ${body?.error?.message ?? answer.status}.`);
    return new URL(body.url);
}
export class Session {
    constructor(socket, token, events) {
        this.socket = socket;
        this.token = token;
        this.events = events;
        this.id = "";
        this.over = false;
        socket.binaryType = "arraybuffer";
        socket.onopen = () => this.send({ type: "auth", token: this.token, binary: true });
        socket.onmessage = (event) => this.take(event.data);
        socket.onclose = (event) => this.end(event.code, event.reason);
        this.timer = window.setTimeout(() => this.end(1006, "no answer"), READY_WAIT_MS);
    }
    // The token goes in the first message: in the address it would stand in every proxy's log.
    static async open(agent, events) {
        const url = await mint(agent);
        const path = url.pathname.split("/");
        const token = decodeURIComponent(path.pop() ?? "");
        url.pathname = path.join("/");
        return new Session(new WebSocket(url), token, events);
    }
    send(message) {
        if (this.socket.readyState === WebSocket.OPEN)
            this.socket.send(JSON.stringify(message));
    }
    sendAudio(pcm) {
        if (this.id && this.socket.readyState === WebSocket.OPEN &&
            this.socket.bufferedAmount < BUFFERED_MAX)
            this.socket.send(pcm);
    }
    sendHeard(name) {
        this.send({ type: "mark", name });
    }
    sendDigit(digit) {
        this.send({ type: "dtmf", digit });
    }
    hangUp() {
        this.send({ type: "stop" });
        this.end(1000, "you hung up");
    }
    end(code, reason) {
        if (this.over)
            return;
        this.over = true;
        window.clearTimeout(this.timer);
        this.socket.close();
        this.events.closed(code, reason);
    }
    take(data) {
        if (this.over)
            return;
        if (typeof data !== "string") {
            this.events.audio(data);
            return;
        }
        let message;
        try {
            message = JSON.parse(data);
        }
        catch {
            return; // not for us, then
        }
        this.dispatch(message);
    }
    dispatch(message) {
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
                this.events.words({ cut: false, keys: false, ...message });
                break;
            case "state":
                this.events.state(String(message.state));
                break;
            case "latency":
                this.events.latency(message);
                break;
        }
    }
}
