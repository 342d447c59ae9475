"""What goes wrong at a cloud provider ends an answer at worst: never the server, and no call but by
its own end. The real binary against the simulated providers, a call for each fault of recognition
and of the language model, beside a good one."""

import argparse
import json
import os
import subprocess
import tempfile
import time

from tests.live.caller import Call, steps_of
from tests.live.result import Result
from tests.live.server import Server, program

FAULTS = {
    "status-401": "status 401", "status-429": "status 429 retry-after 1",
    "status-500": "status 500", "reset": "reset", "reset-late": "reset after 2",
    "silence": "silence", "silence-late": "silence after 2", "close": "close",
    "close-late": "close after 2", "vanish": "vanish after 1", "garbage": "garbage after 1",
    "utf8": "utf8 after 1", "noise": "noise", "noise-late": "noise after 2",
    "huge": "huge 100000000 after 1", "endless": "endless after 2", "drip": "drip 1",
    "late": "late 20000", "error": "error after 1",
}
SAMPLE = ["status-500", "reset-late", "silence", "garbage", "huge"]
ENGINES = {"stt": "deepgram.listen", "llm": "openai.chat"}
CALLS_AT_ONCE = 4
CALL_S = 60
HEARD, SAID = "what are your opening hours", "From eight to six, every day but Sunday."


class Providers:
    """The simulated providers; a model's name is the cue for a fault."""

    def __init__(self, folder):
        self.log = os.path.join(folder, "asked.log")
        path = os.path.join(folder, "providers.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "bind": "127.0.0.1:0", "log": "asked.log",
                "hear": {"texts": [HEARD, "goodbye"], "finalize": "constant 20"},
                "answer": {"rules": [f"hours => {SAID}", "goodbye => Bye. | call end_call {}"],
                           "texts": ["Pardon?"], "token": "constant 5"},
                "faults": [f"{service} if cue-{engine}-{name}-end: {fault}"
                           for engine, service in ENGINES.items()
                           for name, fault in FAULTS.items()],
            }, file)
        self.process = subprocess.Popen([program("sidetone-providers"), "--config", path],
                                        stdout=subprocess.PIPE, text=True)
        self.at = json.loads(self.process.stdout.readline())["ready"]

    def happened(self):
        """The cues of the requests at which a fault was carried out."""
        with open(self.log, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        at_fault = {(e["service"], e["request"]) for e in entries if e["event"] == "fault"}
        return " ".join(json.dumps(e) for e in entries if e["event"] == "request" and
                        (e["service"], e["request"]) in at_fault)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def agent(folder, at, name, stt="good", llm="good"):
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({
            "name": name, "greeting": "Hello.", "prompt": "You are brief.",
            "stt": {"provider": "deepgram", "base_url": f"ws://{at}/v1/listen", "api_key": "k",
                    "model": stt},
            "llm": {"provider": "openai", "base_url": f"http://{at}/v1", "api_key": "k",
                    "model": llm},
            "tts": {"provider": "flite", "voice": "slt"},
            "vad": {"provider": "silero", "stop_ms": 120},
            "patience": {"complete_ms": 200, "open_ms": 700},
        }, file)
    return path


class Line:
    """A call to one of the agents; it has sidetone-call's view of a server."""

    def __init__(self, server, name):
        self.api = server.api
        self.media = f"ws://127.0.0.1:{server.media_port}/media/{name}"


def place(server, name):
    steps = steps_of([(HEARD, "rms"), ("goodbye", "rms")], barge_in=0)
    return Call(Line(server, name), steps, options=("--timeout", str(CALL_S)))


def good_call(r, server, what):
    whole = place(server, "good").finish()
    r.check(whole["status"] == "completed" and
            all(t["voice_to_voice_ms"] for t in whole["turns"]),
            f"the good call {what}: {whole}")


def log_of(server, name):
    """The log of the only call to this agent."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        logs = server.json("/call-logs?limit=100")
        found = [log for log in logs if log.get("agent_id") == name]
        if found and found[0].get("status") not in (None, "active", "in_progress"):
            return found[0]
        time.sleep(0.1)
    return None


def judge(r, server, name, whole):
    r.check(whole["status"] != "no report" and whole["status"] != "refused",
            f"{name}: the call was placed: {whole.get('status')} {whole.get('error')}")
    log = log_of(server, name)
    r.check(log is not None, f"{name}: the call has a log")
    r.check(server.process.poll() is None, f"{name}: the server lives")
    reason = (log or {}).get("reason")
    r.tell(f"  {name:18} {whole['status']:12} {reason}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", action="store_true", help="only some of the faults")
    args = parser.parse_args()
    r = Result("provider-faults")
    names = [f"{engine}-{name}" for engine in ENGINES
             for name in (SAMPLE if args.sample else FAULTS)]
    with tempfile.TemporaryDirectory() as folder, Providers(folder) as providers:
        agents = [agent(folder, providers.at, "good")]
        for name in names:
            cue = {name.split("-")[0]: f"cue-{name}-end"}
            agents.append(agent(folder, providers.at, name, **cue))
        with Server(folder, {"agents": agents}).start() as server:
            good_call(r, server, "before")
            for at in range(0, len(names), CALLS_AT_ONCE):
                batch = names[at:at + CALLS_AT_ONCE]
                calls = [(name, place(server, name)) for name in batch]
                for name, call in calls:
                    judge(r, server, name, call.finish(CALL_S + 10))
            good_call(r, server, "after")
            happened = providers.happened()
            for name in names:
                r.check(f"cue-{name}-end" in happened, f"{name}: it did happen")
            r.check(server.stop() == 0, "the server ended in order")
            r.check(not server.errors(), f"nothing on standard error: {server.errors()[:300]}")
    r.facts["faults"] = len(names)
    r.finish()


if __name__ == "__main__":
    main()
