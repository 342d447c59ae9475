#!/usr/bin/env python3
"""One conversation with the clinic's front desk: draws sentences, has them spoken, starts the
server, calls it, and tells what came of it; without --once the server stays for a browser.
tools/demo builds first and then runs this."""
import argparse
import contextlib
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import share
import simulated

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build", "release")
VOICES = ["rms", "awb", "kal16", "kal"]  # none is the agent's
NOISE_DB, QUIET_LINE_DB = 20, 40
HELDOUT_SHARE = 1 / 3
BARGE_AFTER_MS = 700
START_S, STOP_S, CALL_S, LOG_S = 60, 60, 240, 30


class Failed(Exception):
    """One clear sentence for the user."""


# ---- sentences ----

def read_sentences(name):
    rows = []
    path = os.path.join(ROOT, "data", "callers", name + ".tsv")
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except OSError as e:
        raise Failed(f"{path} cannot be read: {e.strerror}")
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#") or line.startswith("intent\t"):
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            raise Failed(f"{path}:{number}: fewer than three columns")
        context = cells[3] if len(cells) > 3 and cells[3] else "any"
        rows.append({"intent": cells[0], "slots": json.loads(cells[1]), "text": cells[2],
                     "context": context, "set": name})
    return rows


class Sentences:
    """Draws without repeating within a call; a third from those set aside where there are any."""

    def __init__(self, rng):
        self.rng = rng
        self.sets = {name: read_sentences(name) for name in ("known", "heldout")}
        self.used = set()

    def draw(self, intent, context="any", fits=lambda slots: True):
        def choices(name):
            return [r for r in self.sets[name]
                    if r["intent"] == intent and r["context"] == context and fits(r["slots"])
                    and r["text"] not in self.used]
        order = ["known", "heldout"]
        if self.rng.random() < HELDOUT_SHARE:
            order.reverse()
        for name in order:
            found = choices(name)
            if found:
                row = self.rng.choice(found)
                self.used.add(row["text"])
                return dict(row)
        raise Failed(f"no sentence is left for the intent {intent} in the context {context}")


def answers(sentences, slots, asked):
    """What the agent will ask for: the slots that the sentence left open, in its order."""
    steps = []
    for slot in asked:
        if slot not in slots:
            steps.append(sentences.draw("inform", slot, lambda s, slot=slot: set(s) == {slot}))
    return steps


def key(digit, intent):
    return {"dtmf": digit, "intent": intent, "slots": {}, "text": f"pressed {digit}", "set": "keys"}


def conversation(rng):
    """At least six utterances, one interruption, one key. The agent's questions are answered."""
    s = Sentences(rng)
    info = ["opening_hours", "directions"]
    rng.shuffle(info)
    steps = [s.draw(info[0]), s.draw(info[1])]
    steps[1]["barge_in"] = True
    by_key = rng.random() < 0.5

    book = s.draw("book")
    steps += [book] + answers(s, book["slots"], ["day", "time", "name"])
    steps.append(key("1", "yes") if by_key else s.draw("yes", "confirm"))

    if rng.random() < 0.5:
        change = s.draw("move")
        steps += [change] + answers(s, change["slots"], ["day", "time"])
    else:
        change = s.draw("cancel")
        steps.append(change)
    steps.append(s.draw(rng.choice(["yes", "no"]), "confirm") if by_key else key("1", "yes"))

    steps.append(s.draw(rng.choice(["repeat", "person"])))
    steps.append(s.draw("goodbye"))
    return steps


def synthesise(steps, folder, seed, noise_db):
    """A WAV per utterance; the plan of the calling program."""
    voice = VOICES[seed % len(VOICES)]
    plan = []
    for number, step in enumerate(steps, 1):
        if "dtmf" in step:
            plan.append({"press": step["dtmf"], "meant": step["text"]})
            continue
        wav = os.path.join(folder, f"say-{number:02}.wav")
        said = subprocess.run([os.path.join(BIN, "sidetone-say"), "--voice", voice, "--text",
                               step["text"], "--out", wav, "--noise-db", str(noise_db), "--seed",
                               str(seed * 1000 + number)], capture_output=True, text=True)
        if said.returncode:
            raise Failed(f"sidetone-say failed: {said.stderr.strip()}")
        where = json.loads(said.stdout.splitlines()[-1])
        step["lasts_s"] = (where["last_voiced"] - where["first_voiced"]) / where["rate_hz"]
        entry = {"say": wav, "meant": step["text"], "last_voiced_sample": where["last_voiced"]}
        if step.get("barge_in"):
            entry["barge_in"] = True
        plan.append(entry)
    path = os.path.join(folder, "plan.json")
    json.dump(plan, open(path, "w"), indent=1)
    return path, voice


# ---- the server ----

def free_ports(*wanted):
    """Those that are wanted, or others where they are taken; 0 is any. Others are none that the
    kernel gives to outgoing connections: it might, before the server has begun to listen."""
    sockets = []
    for port in wanted:
        bound = None
        while not bound:
            with contextlib.suppress(OSError):
                bound = socket.create_server(("127.0.0.1", port or random.randrange(20000, 30000)))
            port = 0
        sockets.append(bound)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    def __init__(self, folder, binary, io, seed, stays, agent=None):
        self.api, self.media = free_ports(*((8000, 7860) if stays else (0, 0)))
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "server.log")
        rtp = 20000 + (os.getpid() * 100 + seed) % 30000
        config = os.path.join(folder, "sidetone.yaml")
        with open(config, "w") as f:
            f.write(f"data_dir: {json.dumps(self.data)}\n"
                    f"io: {io}\n"
                    f"api: {{bind: \"127.0.0.1:{self.api}\"}}\n"
                    f"media: {{bind: \"127.0.0.1:{self.media}\"}}\n"
                    f"rtp: {{ports: {rtp}-{rtp + 99}}}\n")
        command = [binary, "--config", config] + (["--agent", agent] if agent else [])
        self.process = subprocess.Popen(command, stdout=open(self.log, "w"),
                                        stderr=subprocess.STDOUT)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def get(self, path):
        """(status, parsed body or None)."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api}{path}", timeout=15) as r:
                return r.status, json.loads(r.read())
        except urllib.error.HTTPError as e:
            return e.code, None
        except (OSError, ValueError):
            return 0, None

    def wait(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"the server ended ({self.process.returncode}): {self.last()}")
            if self.get("/health")[0] == 200:
                return
            time.sleep(0.02)
        raise Failed(f"the server is not healthy within {START_S} s: {self.last()}")

    def last(self):
        lines = open(self.log, errors="replace").read().splitlines()
        return lines[-1] if lines else f"see {self.log}"

    def call_log(self, call_id):
        """By its id, by the carrier's, or, as it is the only one, by its transcript's name."""
        until = time.monotonic() + LOG_S
        while time.monotonic() < until:
            ids = [call_id]
            for path in glob.glob(os.path.join(self.data, "transcripts", "*", "*.json")):
                ids.append(os.path.splitext(os.path.basename(path))[0])
            for i in ids:
                status, log = self.get(f"/call-logs/{i}")
                if status == 200 and log.get("status") not in (None, "active", "in_progress"):
                    return log
            time.sleep(0.05)
        return None

    def stop(self):
        if self.process.poll() is not None:
            return self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed"


# ---- the call ----

def say_turn(step, turn, out):
    how = "  (interrupting)" if step.get("barge_in") else ""
    print(f"  caller   {step['text']}{how}", file=out)
    if turn["voice_to_voice_ms"] is None:
        print("  agent    ... no answer", file=out, flush=True)
    else:
        print(f"  agent    ... answers after {turn['voice_to_voice_ms']} ms", file=out, flush=True)


def place_call(server, steps, plan, args, out):
    recording = os.path.join(args.dir, "caller.wav")
    command = [os.path.join(BIN, "sidetone-call"), "--plan", plan, "--record", recording, "--json",
               "--barge-after", str(BARGE_AFTER_MS), "--timeout", str(CALL_S), "--noise", "4",
               "--protocol", args.protocol, "--agent", args.agent,
               "--api", f"http://127.0.0.1:{server.api}"]
    if args.protocol == "twilio":
        command += ["--url", f"ws://127.0.0.1:{server.media}/media/{args.agent}"]
    call = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    result = None
    try:
        for line in call.stdout:
            result = json.loads(line)
            if "turn" in result:
                say_turn(steps[result["turn"] - 1], result, out)
        call.wait()
    finally:
        if call.poll() is None:
            call.kill()
            call.wait()
    if result is None or "turns" not in result:
        raise Failed(f"sidetone-call ended with status {call.returncode} and no result")
    return result


def user_turns(log):
    return [t for t in (log or {}).get("turns") or [] if t.get("heard") is not None]


def match_turns(steps, call, log):
    """Which of the server's turns belongs to which step: by time, keys in their order. Everything
    is measured from the beginning of the call on both sides."""
    keyed = [t for t in user_turns(log) if t.get("dtmf") and t["heard"].strip("0123456789*#") == ""]
    spoken = [t for t in user_turns(log) if t not in keyed]
    matched = [None] * len(steps)
    for i, step in enumerate(steps):
        if i >= len(call["turns"]):
            break
        turn = call["turns"][i]
        if "dtmf" in step:
            matched[i] = keyed.pop(0) if keyed else None
            continue
        best = None
        for t in spoken:
            at = (t.get("ledger") or {}).get("last_voiced_ms")
            if at is None or not turn["said_from_ms"] - 500 <= at <= turn["said_to_ms"] + 1500:
                continue
            if best is None or abs(at - turn["said_to_ms"]) < best[0]:
                best = (abs(at - turn["said_to_ms"]), t)
        matched[i] = best[1] if best else None
    return matched


def brief(understood):
    if isinstance(understood, str):
        try:
            understood = json.loads(understood)
        except ValueError:
            return None
    if not isinstance(understood, dict):
        return None
    return {"intent": understood.get("intent"), "slots": understood.get("slots") or {}}


def whole_turns(steps, call, log, verbatim):
    """`verbatim`: nobody but the language model knows what it understood, so words are compared."""
    turns = []
    for i, (step, server) in enumerate(zip(steps, match_turns(steps, call, log))):
        measured = call["turns"][i] if i < len(call["turns"]) else {}
        server = server or {}
        turns.append({
            "meant": {"intent": step["intent"], "slots": step["slots"], "text": step["text"]},
            "heard": server.get("heard"),
            "understood": brief(server.get("understood")),
            "said": server.get("said"),
            "voice_to_voice_ms": measured.get("voice_to_voice_ms"),
            "barge_in": bool(step.get("barge_in")),
            "dtmf": step.get("dtmf"),
            "set": step["set"],
            "barge_in_stop_ms": measured.get("barge_in_stop_ms"),
            "said_to_ms": measured.get("said_to_ms"),
            "answer_at_ms": measured.get("answer_at_ms"),
            "ledger": server.get("ledger"),
        })
        if verbatim:
            turns[-1]["verbatim"] = "dtmf" in step or server.get("heard") == step["text"]
    return turns


def right(turn):
    if "verbatim" in turn:
        return turn["verbatim"]
    u = turn["understood"]
    return bool(u) and all(u[k] == turn["meant"][k] for k in ("intent", "slots"))


def absolute(server, path):
    if not path:
        return None
    return path if os.path.isabs(path) else os.path.join(server.data, path)


def find_transcript(server, log):
    named = absolute(server, (log or {}).get("transcript_file"))
    if named and os.path.exists(named):
        return named
    found = glob.glob(os.path.join(server.data, "transcripts", "*", "*.json"))
    return found[0] if found else None


def find_recording(server, log):
    named = absolute(server, (log or {}).get("recording"))
    if named and os.path.exists(named):
        return named
    found = glob.glob(os.path.join(server.data, "recordings", "*", "*.wav"))
    return found[0] if found else None


def latencies(turns):
    return sorted(t["voice_to_voice_ms"] for t in turns
                  if t["voice_to_voice_ms"] is not None and not t["barge_in"] and not t["dtmf"])


def shares(result, call, played):
    """Where the time of each answer went, into its turn; what the plain turns come to."""
    log = share.read_log(played.log)
    for turn in result["turns"]:
        if turn["dtmf"] or turn["answer_at_ms"] is None:
            continue
        turn["share"] = share.share(log, call["began_ms"], turn["said_to_ms"],
                                    turn["answer_at_ms"], simulated.DELAYS["end_of_turn"])
    plain = [t for t in result["turns"] if t.get("share") and not t["barge_in"]]
    own = [t["share"]["own_ms"] for t in plain]
    return {"turns": len(plain), "own_ms_p50": share.percentile(own, 50),
            "own_ms_p99": share.percentile(own, 99),
            "voice_to_voice_ms_p50": share.percentile(latencies(result["turns"]), 50)}


def tell(result, steps, out):
    """The conversation once more, with what the server heard and said."""
    print("\n  as the server has it", file=out)
    for turn in result["turns"]:
        print(f"  caller   {turn['meant']['text']}", file=out)
        note = "" if right(turn) else "   <- not as meant"
        print(f"    heard  {turn['heard']!r}{note}", file=out)
        print(f"  agent    {turn['said']}", file=out)
    plain = latencies(result["turns"])
    if plain:
        print(f"\n  voice to voice: median {plain[len(plain) // 2]} ms, longest {plain[-1]} ms",
              file=out)
    played = result.get("simulated")
    if played and played["turns"]:
        print(f"  of that the server's own share: median {played['own_ms_p50']} ms, p99 "
              f"{played['own_ms_p99']} ms, of {played['turns']} turns", file=out)
    print(f"  understood as meant: {sum(map(right, result['turns']))} of {len(steps)}", file=out)


def make_folder(path):
    """Empty, and never at the cost of anything but an earlier demo."""
    if os.path.isdir(path) and os.listdir(path):
        if not os.path.exists(os.path.join(path, "plan.json")):
            raise Failed(f"{path} is not empty and holds no earlier demo")
        shutil.rmtree(path)
    os.makedirs(path, exist_ok=True)


def run(args, out):
    rng = random.Random(args.seed)
    make_folder(args.dir)
    steps = conversation(rng)
    # How well words are understood in noise is no question to a recogniser that is told them.
    noise_db = QUIET_LINE_DB if args.providers == "simulated" else NOISE_DB
    plan, voice = synthesise(steps, args.dir, args.seed, noise_db)
    print(f"seed {args.seed}: a caller with the voice {voice}, {len(steps)} turns, "
          f"by {args.protocol}", file=out, flush=True)
    played = None
    if args.providers == "simulated":
        try:
            played = simulated.Simulated(args.dir, BIN, args.binary, args.agent, steps)
        except OSError as e:
            raise Failed(str(e))
        print(f"simulated: deepgram hears, openai answers, {played.tts} speaks", file=out)
    try:
        return converse(args, out, steps, plan, voice, played)
    finally:
        if played:
            played.stop()


def converse(args, out, steps, plan, voice, played):
    stays = not args.once
    server = Server(args.dir, args.binary, args.io, args.seed, stays,
                    played.agent if played else None)
    try:
        call = place_call(server, steps, plan, args, out)
        if call["status"] == "refused":
            raise Failed(call.get("error") or "the server refused the call")
        log = server.call_log(call["call_id"])
        result = {
            "call_id": (log or {}).get("call_id") or call["call_id"],
            "status": call["status"] if not log or call["status"] != "completed" else log["status"],
            "protocol": args.protocol,
            "turns": whole_turns(steps, call, log, played is not None),
            "recording": find_recording(server, log),
            "transcript": find_transcript(server, log),
            "call_log": log,
            "caller_recording": call["recording"],
            "seed": args.seed,
            "voice": voice,
            "error": call.get("error"),
        }
        if played:
            result["simulated"] = {"delays_ms": simulated.DELAYS, "tts": played.tts,
                                   "asked": played.log, **shares(result, call, played)}
        if stays:
            show(result, steps, server, out)
            stay(server, args, out)
    finally:
        ended = server.stop()
    if ended != 0:
        raise Failed(f"the server ended with {ended}: see {server.log}")
    if not stays:
        show(result, steps, server, out)
    return result


def show(result, steps, server, out):
    tell(result, steps, out)
    print(f"\n  recording   {result['recording']}\n  caller's    {result['caller_recording']}\n"
          f"  transcript  {result['transcript']}\n  server log  {server.log}", file=out, flush=True)


def stay(server, args, out):
    """Until Ctrl-C, or the server's own end."""
    print(f"\n  now you     http://127.0.0.1:{server.api}/talk/{args.agent}\n"
          f"  from afar   ssh -L {server.api}:127.0.0.1:{server.api} "
          f"-L {server.media}:127.0.0.1:{server.media} {socket.gethostname()}\n"
          f"  Ctrl-C ends the server", file=out, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.process.wait()
    print(file=out)


def main():
    p = argparse.ArgumentParser(prog="tools/demo", description=__doc__.splitlines()[0])
    p.add_argument("--once", action="store_true", help="one call, then the server ends")
    p.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    p.add_argument("--seed", type=int, default=1, help="which sentences, voice and noise")
    p.add_argument("--protocol", choices=["twilio", "rtp"], default="twilio")
    p.add_argument("--io", choices=["auto", "uring", "epoll"], default="auto")
    p.add_argument("--providers", choices=["local", "simulated"], default="local",
                   help="simulated: the protocols of cloud providers, played on this machine")
    p.add_argument("--agent", default="clinic")
    p.add_argument("--dir", type=os.path.abspath,
                   help="where everything is kept (default: build/demo/SEED-PROTOCOL)")
    p.add_argument("--binary", type=os.path.abspath, default=os.path.join(BIN, "sidetone"),
                   help="another build of the server")
    p.add_argument("--no-setup", action="store_true", help="neither install nor build")
    args = p.parse_args()
    args.dir = args.dir or os.path.join(ROOT, "build", "demo",
                                        f"{args.seed}-{args.protocol}" +
                                        ("-simulated" if args.providers == "simulated" else ""))
    out = sys.stderr if args.json else sys.stdout
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = run(args, out)
    except Failed as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if args.json:
        print(json.dumps(result))
    return 0 if result["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
