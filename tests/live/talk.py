"""The talk page in a real browser with a microphone out of a file: a conversation of three turns
and an interruption, what the page plays, shows and keeps, and what it says when things fail."""

import argparse
import array
import base64
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import wave
from datetime import datetime

from tests.live import peer, wav
from tests.live.browser import BINARY, Browser
from tests.live.caller import sentence
from tests.live.result import Result
from tests.live.server import Server, program, short_agent

GAP_MS = 40         # longest silence of the page's making inside a sentence
STOP_MS = 250       # from the decision that the caller speaks to silence at the loudspeaker
CLOCK_MS = 20       # a block is taken to leave when the earliest of all could: so much too early
RATE_HZ = 8000
# When the caller speaks, in seconds from the microphone's opening; the third one interrupts.
SCRIPT = [
    (14.0, "what are your opening hours", "rms"),
    (28.0, "how do i get to you", "kal16"),
    (32.2, "what are your opening hours", "rms"),
    (46.0, "goodbye", "rms"),
]
MICROPHONE_S = 65.0

# Whatever the page connects to the loudspeaker is connected to this, too.
TAP = """
class Tap extends AudioWorkletProcessor {
  constructor() { super(); this.block = new Float32Array(4096); this.filled = 0; this.first = 0; }
  process(inputs) {
    const channel = inputs[0] && inputs[0][0];
    if (this.filled === 0) this.first = currentFrame;
    for (let i = 0; i < 128; i++) this.block[this.filled++] = channel ? channel[i] : 0;
    if (this.filled < this.block.length) return true;
    this.port.postMessage({ first: this.first, block: this.block });
    this.block = new Float32Array(4096);
    this.filled = 0;
    return true;
  }
}
registerProcessor("tap", Tap);
"""

WATCH = """
window.tapped = { blocks: [], rate: 0, began: Infinity };
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to instanceof AudioDestinationNode) {
    const context = this.context, source = this;
    context.audioWorklet.addModule("/console/tap.js").then(() => {
      const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
      window.tapped.rate = context.sampleRate;
      tap.port.onmessage = (event) => {
        const { first, block } = event.data;
        const now = performance.timeOrigin + performance.now();
        const end = (first + block.length) / context.sampleRate * 1000;
        window.tapped.began = Math.min(window.tapped.began, now - end);
        window.tapped.blocks.push([first, block]);
      };
      connect.call(source, tap);
    });
  }
  return connect.call(this, to, ...more);
};
window.tappedText = () => {
  const { blocks } = window.tapped;
  if (!blocks.length) return "";
  const first = blocks[0][0], last = blocks[blocks.length - 1];
  const all = new Int16Array(last[0] + last[1].length - first);
  for (const [at, block] of blocks)
    for (let i = 0; i < block.length; i++)
      all[at - first + i] = Math.round(Math.max(-1, Math.min(1, block[i])) * 32767);
  const bytes = new Uint8Array(all.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
};
window.shown = () => Array.from(document.querySelectorAll("#lines .line")).map((line) => ({
  turn: Number(line.dataset.turn),
  role: line.classList.contains("user") ? "user" : "assistant",
  text: line.querySelector(".text").textContent,
  partial: line.classList.contains("partial"),
  cut: line.classList.contains("cut"),
}));
"""


def microphone(folder):
    """The caller's part as a file: each sentence at its time, quiet between."""
    samples = array.array("h", bytes(2 * int(MICROPHONE_S * RATE_HZ)))
    for number, (at, text, voice) in enumerate(SCRIPT):
        path = os.path.join(folder, f"say-{number}.wav")
        subprocess.run([program("sidetone-say"), "--voice", voice, "--text", text, "--out", path,
                        "--noise-db", "100", "--lead-ms", "20",
                        "--tail-ms", "20"], check=True, stdout=subprocess.DEVNULL)
        rate, (said,) = wav.read(path)
        assert rate == RATE_HZ
        begin = int(at * RATE_HZ)
        samples[begin:begin + len(said)] = said
    path = os.path.join(folder, "microphone.wav")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return path


class Tapped:
    """What left the page towards the loudspeaker."""

    def __init__(self, page):
        self.rate = page.eval("window.tapped.rate")
        self.first = page.eval("(window.tapped.blocks[0] || [0])[0]")
        self.began_ms = page.eval("window.tapped.began")  # wall clock of frame 0
        self.samples = array.array("h", base64.b64decode(page.eval("window.tappedText()") or ""))

    def wall_ms(self, sample):
        return self.began_ms + (self.first + sample) * 1000 / self.rate

    def sample_at(self, wall_ms):
        return int((wall_ms - self.began_ms) * self.rate / 1000) - self.first

    def silences(self, at_least_ms=20):
        """Stretches in which nothing but exact zeros left: [(first, end)]. Speech has none."""
        found, begin = [], None
        step = max(1, self.rate // 1000)
        for i in range(0, len(self.samples), step):
            quiet = not any(self.samples[i:i + step])
            if quiet and begin is None:
                begin = i
            if not quiet and begin is not None:
                if (i - begin) * 1000 / self.rate >= at_least_ms:
                    found.append((begin, i))
                begin = None
        if begin is not None:
            found.append((begin, len(self.samples)))
        return found

    def spurts(self, apart_ms):
        """What is played between silences of at least that length."""
        edges = [(0, 0)] + self.silences(apart_ms) + [(len(self.samples), len(self.samples))]
        return [(a[1], b[0]) for a, b in zip(edges, edges[1:]) if b[0] > a[1]]

    def save(self, path):
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(self.samples.tobytes())


def open_page(browser, server, watch=True):
    page = browser.page()
    if watch:
        page.serve("*/console/tap.js", "text/javascript", TAP)
        page.before_load(WATCH)
    page.size(1280, 800)
    page.open(f"{server.api}/talk/clinic")
    return page


def shots_of(page, folder, name):
    """Both widths, light and dark."""
    if not folder:
        return
    os.makedirs(folder, exist_ok=True)
    for label, width, height, dark, mobile in (("desktop", 1280, 800, False, False),
                                               ("desktop-dark", 1280, 800, True, False),
                                               ("phone", 390, 844, False, True),
                                               ("phone-dark", 390, 844, True, True)):
        page.size(width, height, dark, mobile)
        page.sleep(0.2)
        page.screenshot(os.path.join(folder, f"{name}-{label}.png"))
    page.size(1280, 800)


# ---- the conversation

def words_of(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def check_texts(r, shown, log):
    """The page and the log say the same, turn by turn."""
    for turn in log["turns"]:
        number = turn["turn"]
        for role, text in (("user", turn.get("heard")), ("assistant", turn.get("said"))):
            lines = [s for s in shown if s["turn"] == number and s["role"] == role]
            if not text:
                r.check(not lines, f"turn {number}: the page shows {lines}, the log has none")
                continue
            r.check(len(lines) == 1 and lines[0]["text"] == text,
                    f"turn {number}: {role} is {text!r} in the log and {lines} on the page")
    known = {t["turn"] for t in log["turns"]}
    r.check(all(s["turn"] in known for s in shown), "the page shows turns that the log lacks")


def check_latency(r, page, log):
    rows = page.eval("Array.from(document.querySelectorAll('#turns li')).map((row) => "
                     "[Number(row.dataset.turn), Number(row.dataset.ms)])")
    logged = [[t["turn"], t["voice_to_voice_ms"]] for t in log["turns"]
              if t.get("voice_to_voice_ms") is not None]
    near = len(rows) == len(logged) and all(
        a[0] == b[0] and abs(a[1] - b[1]) <= 1 for a, b in zip(rows, logged)) # rounded apart
    r.check(near, f"the waterfall has {rows}, the log {logged}")
    r.facts["voice_to_voice_ms"] = [ms for _, ms in rows]


def call_began_ms(log):
    return wav_time(log["created_at"])


def wav_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def check_gaps(r, tapped, judge):
    """Silence of the page's own making between two sounds less than 400 ms apart: the voice pauses
    between sentences, but its pauses are not exact zeros for long."""
    inside = [(b - a) * 1000 / tapped.rate for a, b in tapped.silences()
              if a > 0 and b < len(tapped.samples) and (b - a) * 1000 / tapped.rate < 400]
    r.facts["gap_ms_max"] = round(max(inside, default=0), 1)
    r.check(not judge or max(inside, default=0) <= GAP_MS,
            f"silences inside sentences: {[round(x) for x in inside]} ms")


def check_stop(r, tapped, server, call_id, judge):
    """The machine has decided that the caller speaks; what the loudspeaker does then."""
    decided = [wav_time(line["timestamp"]) for line in
               server.said("speaking -> paused", call_id=call_id)]
    r.check(decided, "the caller never interrupted")
    stops = []
    for at in decided:
        i = tapped.sample_at(at)
        silent = [a for a, b in tapped.silences(60) if b > i]
        if silent:
            stops.append((silent[0] - i) * 1000 / tapped.rate)
    r.facts["stop_ms"] = [round(s) for s in stops]
    r.check(len(stops) == len(decided) and (not judge or max(stops, default=0) <= STOP_MS),
            f"playback stopped {r.facts['stop_ms']} ms after the decision")
    # Before the decision nothing can stop it: earlier than the page's clock errs, the silence was
    # there already, and no stop was measured.
    r.check(not judge or min(stops, default=0) >= -CLOCK_MS,
            f"nothing was being played {r.facts['stop_ms']} ms from the decision")


def check_sound(r, tapped, log, recording, folder):
    """What the page played is what the recording has of the agent: like it, spurt by spurt."""
    path = os.path.join(folder, "tapped.wav")
    tapped.save(path)
    rate, sides = wav.read(recording)
    ours = list(sides[0][::2]) if rate == 16000 else list(sides[0])
    theirs = eighth(tapped)
    likes = []
    for a, b in tapped.spurts(400):
        begin, length = int(a * 8000 / tapped.rate), int((b - a) * 8000 / tapped.rate)
        if length < 6000:
            continue
        at = begin + min(2000, length // 4)
        expected = (tapped.wall_ms(a) - call_began_ms(log)) * 8
        shift = int(expected - begin)
        moved = [0] * max(0, -shift) + ours[max(0, shift):]
        _, like = wav.lag_ms(theirs, moved, at, samples=4000, within_ms=600)
        likes.append(round(like, 2))
    r.facts["likeness"] = likes
    r.check(len(likes) >= 4, f"only {len(likes)} stretches of speech were played")
    r.check(min(likes, default=0) > 0.5, f"likeness to the recording: {likes}")


def eighth(tapped):
    """At 8 kHz, by averages: good enough to be laid beside a recording."""
    step = tapped.rate / 8000
    width = max(1, round(step))
    return [sum(tapped.samples[int(i * step):int(i * step) + width]) / width
            for i in range(int(len(tapped.samples) / step) - 1)]


def conversation(r, server, folder, shots, judge):
    with Browser(microphone(folder)) as browser:
        page = open_page(browser, server)
        shots_of(page, shots, "1-ready")
        if os.environ.get("TALK_DEBUG"):
            page.on("Network.webSocketFrameReceived", lambda p: p["response"]["opcode"] == 1 and
                    print(p["response"]["payloadData"], file=sys.stderr))
            page.ask("Network.enable")
        page.eval("document.getElementById('call').click()")
        if not r.check(page.wait("document.body.dataset.phase === 'live'", 15),
                       f"no call: {page.eval('document.body.innerText')}"):
            return
        call_id = page.eval("document.body.dataset.call")
        if shots:
            page.sleep(33)
            page.eval("document.querySelector('details').open = false")
            shots_of(page, shots, "2-live")
        r.check(page.wait("document.body.dataset.phase === 'ended'", MICROPHONE_S + 10),
                "the call did not end with goodbye")
        shown = page.eval("window.shown()")
        tapped = Tapped(page)
        log = server.call_log(call_id, 30)
        if not r.check(log, f"no log of {call_id}"):
            return
        if os.environ.get("TALK_DEBUG"):
            print(json.dumps(shown, indent=1), json.dumps(log, indent=1), file=sys.stderr)
        r.facts["turns"] = len([t for t in log["turns"] if t.get("heard")])
        r.check(r.facts["turns"] >= 4, f"{r.facts['turns']} turns were heard")
        for number, (_, text, _) in enumerate(SCRIPT):
            heard = [words_of(s["text"]) for s in shown if s["role"] == "user"]
            r.check(words_of(text) in heard,
                    f"sentence {number + 1} {text!r} is not on the page")
        r.check(any(s["cut"] for s in shown), "no line is marked as interrupted")
        check_texts(r, shown, log)
        check_latency(r, page, log)
        if os.environ.get("TALK_DEBUG"):
            began = call_began_ms(log)
            print([(round(tapped.wall_ms(a) - began), round((b - a) * 1000 / tapped.rate))
                   for a, b in tapped.silences(5)], [wav_time(x["timestamp"]) - began for x in
                   server.said("speaking -> paused", call_id=call_id)], file=sys.stderr)
        check_gaps(r, tapped, judge)
        check_stop(r, tapped, server, call_id, judge)
        check_sound(r, tapped, log, os.path.join(server.data, log["recording"]), folder)
        r.check(page.wait("document.getElementById('recording').duration > 30", 10),
                "the page does not offer the recording")
        page.eval("document.getElementById('recording').currentTime = 20")
        r.check(page.wait("document.getElementById('recording').currentTime >= 20 && "
                          "!document.getElementById('recording').seeking", 10),
                "one cannot go to the middle of the recording")
        shots_of(page, shots, "3-ended")
        r.check(not page.complaints, f"the browser complains: {page.complaints}")


# ---- both protocols without a browser, sound as JSON

def messages_of(p, seconds):
    """What comes in that time, as (opcode, payload); pings are not answered, it is too short."""
    until = time.monotonic() + seconds
    p.socket.settimeout(0.01)
    while time.monotonic() < until:
        while len(p.bytes) >= 2:
            size, head = p.bytes[1], 2
            if size == 126 and len(p.bytes) >= 4:
                size, head = int.from_bytes(p.bytes[2:4], "big"), 4
            if size == 126 or len(p.bytes) < head + size:
                break
            yield p.bytes[0] & 15, p.bytes[head:head + size]
            p.bytes = p.bytes[head + size:]
        with contextlib.suppress(TimeoutError):
            got = p.socket.recv(65536)
            if not got:
                return
            p.bytes += got


def speak(p, samples, message):
    """Sends these samples in real time, with what comes meanwhile as a result."""
    came = []
    began = time.monotonic()
    for i in range(0, len(samples) - 319, 320):
        p.text(json.dumps(message(samples[i:i + 320].tobytes(), i // 320 + 1)))
        came += messages_of(p, began + (i / 320 + 1) * 0.02 - time.monotonic())
    return came


def doubled(slow):
    """8 to 16 kHz: between two samples lies what a band of 4 kHz has there."""
    taps = [math.sin(math.pi * (k + 0.5)) / (math.pi * (k + 0.5)) *
            (0.5 + 0.5 * math.cos(math.pi * (k + 0.5) / 12)) for k in range(-12, 12)]
    padded = [0] * 12 + list(slow) + [0] * 12
    fast = array.array("h")
    for i, sample in enumerate(slow):
        between = sum(t * x for t, x in zip(taps, padded[i + 1:i + 25]))
        fast.extend((sample, max(-32768, min(32767, round(between)))))
    return fast


def without_browser(r, server, name, path, hello, message, played, told):
    """One sentence and its answer."""
    _, (slow,) = wav.read(sentence("what are your opening hours", noise_db=100)[0])
    quiet = array.array("h", bytes(2 * 16000))
    samples = quiet + doubled(slow) + quiet * 4
    p = peer.Peer(server.media_port)
    if not r.check(p.open(path) and p.text(json.dumps(hello)), f"{name}: not let in"):
        return
    came = list(messages_of(p, 2.5)) + speak(p, samples, message)
    p.text(json.dumps({"event": "stop", "type": "stop"}))
    texts = [json.loads(data) for op, data in came if op == 1]
    sound = b"".join(base64.b64decode(played(t)) for t in texts if played(t))
    words = [told(t) for t in texts if told(t)]
    r.check(any("opening hours" in w for w in words), f"{name}: told {words}")
    loud = sum(abs(x) > 1000 for x in array.array("h", sound))
    r.check(len(sound) > 3 * 32000 and loud > 8000, f"{name}: {len(sound)} bytes, {loud} loud")
    p.close()


def both_protocols(r, folder):
    place = os.path.join(folder, "protocols")
    os.makedirs(place)
    with Server(place, agent=short_agent(place)) as server:
        server.start()

        def token():
            return server.post("/media-tokens", {"agent": "clinic"})["token"]

        def encoded(pcm):
            return base64.b64encode(pcm).decode()
        without_browser(
            r, server, "browser", "/media/clinic", {"type": "auth", "token": token()},
            lambda pcm, n: {"type": "audio", "sequence": n, "timestamp": n * 20,
                            "format": "pcm_16k", "data": encoded(pcm)},
            lambda t: t["type"] == "audio" and t["data"],
            lambda t: t["type"] == "transcript" and t["role"] == "user" and t["text"])
        without_browser(
            r, server, "voiceera", f"/browser/agent/clinic/{token()}",
            {"event": "start", "start": {"callSid": "c1", "streamSid": "s1"}},
            lambda pcm, _: {"event": "media", "media": {
                "contentType": "audio/x-l16", "sampleRate": 16000, "payload": encoded(pcm)}},
            lambda t: t["event"] == "playAudio" and t["streamId"] == "s1" and t["media"]["payload"],
            lambda t: t["event"] == "transcript" and t["role"] == "user" and t["content"])
        r.check(server.stop() == 0, "the server did not end in order")


# ---- who comes in

def auth(token=None):
    message = {"type": "auth"}
    if token is not None:
        message["token"] = token
    return json.dumps(message)


def tokens(r, server):
    """A browser's socket needs a token, once."""
    def refused(path, message, what):
        p = peer.Peer(server.media_port)
        ok = p.open(path) and p.text(message)
        r.check(ok and p.closed_within(3) is not None and not server.running_calls(), what)
        p.close()

    refused("/media/clinic", auth(), "a missing token was not refused")
    refused("/media/clinic", auth("nonsense"), "a wrong token was not refused")
    start = json.dumps({"event": "start", "start": {"callSid": "c1", "streamSid": "s1"}})
    refused("/browser/agent/clinic", start, "VoiceERA's shape came in without a token")
    token = server.post("/media-tokens", {"agent": "clinic"})["token"]
    first = peer.Peer(server.media_port)
    r.check(first.open("/media/clinic") and first.text(auth(token)), "a good token was refused")
    while b'"ready"' not in first.bytes and first.more():
        pass
    r.check(b'"ready"' in first.bytes, "there was no ready")
    first.close()
    server.said("call ends", 20)
    refused("/media/clinic", auth(token), "a used token was not refused")
    try:
        urllib.request.urlopen(urllib.request.Request(
            server.api + "/media-tokens", b'{"agent":"clinic"}', {"Origin": "http://elsewhere"}))
        r.check(False, "a page of another site was given a token")
    except urllib.error.HTTPError as error:
        r.check(error.code == 403, f"a page of another site was answered {error.code}")


def troubles(r, server, folder, shots):
    """What the page says when it cannot be."""
    problem = "document.getElementById('problem').textContent"

    def says(page, words, what):
        page.eval("document.getElementById('call').click()")
        found = page.wait(f"{problem}.includes({json.dumps(words)})", 15)
        r.check(found, f"{what}: the page says {page.eval(problem)!r}")

    with Browser(os.path.join(folder, "microphone.wav"), allow=False) as browser:
        page = open_page(browser, server, watch=False)
        says(page, "microphone was refused", "a refused microphone")
        shots_of(page, shots, "4-refused")
    with Browser() as browser:
        page = open_page(browser, server, watch=False)
        says(page, "No microphone", "no microphone")
    with Browser(os.path.join(folder, "microphone.wav")) as browser:
        page = open_page(browser, server, watch=False)
        page.open(f"{server.api}/talk/nobody")
        says(page, "no agent named", "an agent that is not there")
        page.open(f"{server.api}/talk/clinic")
        page.eval("document.getElementById('call').click()")
        r.check(page.wait("document.body.dataset.phase === 'live'", 15), "no call")
        server.kill()
        r.check(page.wait(f"{problem}.includes('lost')", 15),
                f"a server that is gone: the page says {page.eval(problem)!r}")
        says(page, "cannot be reached", "no server")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--relaxed", action="store_true", help="do not judge any time")
    options.add_argument("--shots", help="a folder for pictures of the page")
    o = options.parse_args()
    r = Result("talk")
    if r.check(BINARY, "chromium is missing"):
        with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
            with Server(folder, {"log": {"level": "debug"}}) as server:
                server.start()
                tokens(r, server)
                both_protocols(r, folder)
                conversation(r, server, folder, o.shots, not o.relaxed)
                troubles(r, server, folder, o.shots)
    r.finish()


if __name__ == "__main__":
    main()
