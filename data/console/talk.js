// The talk page: one agent, one call at a time.
import { CallAudio } from "./audio.js";
import { Meter } from "./meter.js";
import { Refused, Session } from "./session.js";
import { Transcript } from "./transcript.js";
import { Waterfall } from "./waterfall.js";
const LOG_TRIES = 40;
const LOG_EVERY_MS = 250;
const DIGITS = "0123456789*#";
const STATES = {
    listening: "Listening",
    "user speaking": "Hearing you",
    endpointing: "Hearing you",
    thinking: "Thinking",
    speaking: "Speaking",
    paused: "Are you saying something?",
};
function element(id) {
    const found = document.getElementById(id);
    if (!found)
        throw new Error(`the page has no ${id}`);
    return found;
}
const agent = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const status = element("status");
const problem = element("problem");
const call = element("call");
const mute = element("mute");
const recording = element("recording");
const keypad = element("keypad");
const inputMeter = new Meter(element("input-level"));
const outputMeter = new Meter(element("output-level"));
const transcript = new Transcript(element("lines"), element("conversation"));
const waterfall = new Waterfall(element("turns"), element("no-turns"), element("typical"));
let phase = "idle";
let audio = null;
let session = null;
let callId = "";
let began = 0;
let clock = 0;
let attempt = 0; // grows with each call: what belongs to an older one is not listened to
// ---- what the page shows
function show(next, text) {
    phase = next;
    document.body.dataset.phase = next;
    status.textContent = text;
    const busy = next === "connecting" || next === "live";
    call.textContent = busy ? "Hang up" : next === "ended" ? (callId ? "Call again" : "Try again") : "Start talking";
    call.classList.toggle("danger", busy);
    mute.disabled = next !== "live";
    keypad.querySelectorAll("button").forEach((key) => (key.disabled = next !== "live"));
}
function complain(text) {
    problem.textContent = text;
    problem.hidden = text === "";
}
function setMuted(on) {
    mute.setAttribute("aria-pressed", String(on));
    mute.textContent = on ? "Unmute" : "Mute";
    audio?.mute(on);
}
function showClock() {
    const seconds = Math.floor((Date.now() - began) / 1000);
    const text = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    element("clock").textContent = text;
}
// ---- why it failed, in words for people
function reasonOf(error) {
    if (error instanceof Refused)
        return error.message;
    const name = error instanceof DOMException ? error.name : "";
    switch (name) {
        case "NotAllowedError":
            return "The microphone was refused. Allow it beside the address of this page and try again.";
        case "NotFoundError":
        case "OverconstrainedError":
            return "No microphone was found. Plug one in and try again.";
        case "NotReadableError":
            return "The microphone is in use by another program.";
        case "AbortError": // a worklet could not be loaded
            return "The server cannot be reached. Is it running?";
        case "SecurityError":
            return "A browser gives the microphone only to https:// and to localhost.";
        default:
            return `The call could not be made: ${error instanceof Error ? error.message : "unknown"}.`;
    }
}
function closeText(code, reason) {
    if (code === 1000 || code === 1001)
        return [`Call ended${reason ? `: ${reason}` : ""}`, ""];
    if (code === 1008)
        return ["Not connected", `The server refused the call: ${reason}.`];
    if (code === 1006)
        return ["Call ended", "The connection to the server was lost."];
    return ["Call ended", `The server ended the call: ${reason || code}.`];
}
// ---- one call
async function start() {
    const mine = ++attempt;
    const current = () => mine === attempt;
    complain("");
    transcript.reset();
    waterfall.reset();
    element("after").hidden = true;
    recording.removeAttribute("src");
    callId = "";
    setMuted(false);
    show("connecting", "Asking for the microphone…");
    try {
        const opened = await CallAudio.open({
            pcm: (pcm) => session?.sendAudio(pcm),
            inputLevel: (level) => inputMeter.set(level),
            outputLevel: (level) => outputMeter.set(level),
            heard: (mark) => session?.sendHeard(mark),
            lost: () => current() && finish("Call ended", "The microphone was unplugged."),
        });
        if (!current())
            return opened.close();
        audio = opened;
        status.textContent = "Connecting…";
        const connected = await connect(current);
        if (!current())
            return connected.hangUp();
        session = connected;
    }
    catch (error) {
        if (current())
            finish("Not connected", reasonOf(error));
    }
}
function connect(current) {
    return Session.open(agent, {
        ready: (id) => current() && live(id),
        audio: (pcm) => audio?.play(pcm),
        mark: (name) => audio?.mark(name),
        clear: () => audio?.clear(),
        words: (words) => transcript.show(words),
        state: (state) => {
            if (phase !== "live")
                return;
            document.body.dataset.turn = state;
            status.textContent = STATES[state] ?? state;
        },
        latency: (latency) => waterfall.show(latency),
        closed: (code, reason) => current() && finish(...closeText(code, reason)),
    });
}
function live(id) {
    callId = id;
    document.body.dataset.call = id;
    began = Date.now();
    showClock();
    clock = window.setInterval(showClock, 1000);
    show("live", "Connected");
}
function finish(text, trouble) {
    attempt++;
    window.clearInterval(clock);
    session = null;
    audio?.close();
    audio = null;
    inputMeter.set(0);
    outputMeter.set(0);
    delete document.body.dataset.turn;
    show("ended", text);
    complain(trouble);
    if (callId)
        void offerRecording(callId, attempt);
}
// The log is stored a moment after the call has ended.
async function offerRecording(id, mine) {
    for (let i = 0; i < LOG_TRIES && mine === attempt; i++) {
        const answer = await fetch(`/call-logs/${id}`).catch(() => null);
        if (answer?.ok && mine === attempt) {
            const log = (await answer.json());
            (log.turns ?? []).forEach((t) => transcript.settle(t.turn, t.said ?? "", t.cut === true));
            if (log.recording) {
                recording.src = `/call-logs/${id}/recording`;
                element("after").hidden = false;
                transcript.scroll();
            }
            return;
        }
        await new Promise((resolve) => window.setTimeout(resolve, LOG_EVERY_MS));
    }
}
function hangUp() {
    if (session)
        session.hangUp();
    else
        finish("Call ended", "");
}
function press(digit) {
    if (phase === "live")
        session?.sendDigit(digit);
}
// ---- wiring
function wire() {
    element("agent").textContent = agent;
    document.title = `Talk to ${agent}`;
    call.addEventListener("click", () => {
        if (phase === "connecting" || phase === "live")
            hangUp();
        else
            void start();
    });
    mute.addEventListener("click", () => setMuted(mute.getAttribute("aria-pressed") !== "true"));
    for (const key of Array.from(keypad.querySelectorAll("button")))
        key.addEventListener("click", () => press(key.dataset.digit ?? ""));
    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || phase !== "live")
            return;
        if (DIGITS.includes(event.key))
            press(event.key);
        else if (event.key === "m")
            mute.click();
        else if (event.key === "Escape")
            hangUp();
    });
    window.addEventListener("pagehide", () => session?.hangUp());
    // A keyboard, a turned phone, the recording: what was said last stays in view.
    new ResizeObserver(() => transcript.scroll()).observe(element("conversation"));
    waterfall.reset();
    show("idle", "Ready");
}
wire();
