"""Calls through every provider behind a network, against sidetone-providers: plain ones, and one
for each fault that can befall the provider. A fault may cost its turn; the call goes on, and what
comes after it is heard and answered. One whose key is refused, that dies in the middle, or that
answers nothing but errors, loses the call, which says why; with a fallback it loses nothing."""

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import tempfile
import types

from tests.live.caller import Call, sentence
from tests.live.result import Result
from tests.live.server import Server, program

# What is heard is scripted: only the length of these sentences counts.
SPOKEN = ["what are your opening hours", "can you repeat that please", "how do i get to you"]
HEARD = ["the first sentence", "the second one", "now the third"]


def faults(after, *words, status=503):
    """What can befall any connection, some of it `after` so many pieces of an answer, and more."""
    return [f"request 1: {word}" for word in (
        f"status {status}", "reset", "late 300", "silence", f"close after {after}",
        f"vanish after {after + 1}", f"garbage after {after}", f"utf8 after {after}",
        f"noise after {after}", f"huge 200000 after {after}", f"endless after {after}", *words)]


# An AssemblyAI session and its turn have begun before the first words come.
DEEPGRAM_FAULTS = faults(1, "drip 4000", "error after 2")
ASSEMBLYAI_FAULTS = faults(3, "close 3008 after 1", "drip 4000", "error after 4")
VOSK_FAULTS = faults(1, "drip 4000")
# An upload has one answer, whole: what can go wrong does so before it.
UPLOAD_FAULTS = [f"request 1: {word}" for word in (
    "status 500", "status 429", "reset", "late 300", "silence", "close", "vanish", "garbage",
    "utf8", "noise", "huge 200000", "endless", "drip 400")]
MODEL_FAULTS = faults(1, "status 429", "silence after 1", "drip 400", "error after 1", status=500)
# A voice that comes slower than it is heard is no voice, so nothing drips.
VOICE_FAULTS = faults(1, "silence after 2", "error after 2")
SPEECH_FAULTS = faults(2, "status 429", "silence after 3", "error after 2", status=500)

# name: the service it speaks with, its kind, its block of the agent's file
PROVIDERS = {
    "deepgram": ("deepgram.listen", "stt", {"provider": "deepgram", "api_key": "any",
                                            "base_url": "ws://{at}/v1/listen"}, DEEPGRAM_FAULTS),
    "assemblyai": ("assemblyai.listen", "stt", {"provider": "assemblyai", "api_key": "any",
                                                "base_url": "ws://{at}/v3/ws"},
                   ASSEMBLYAI_FAULTS),
    "vosk": ("vosk", "stt", {"provider": "vosk", "base_url": "ws://{at}"}, VOSK_FAULTS),
    "openai-stt": ("openai.transcription", "stt",
                   {"provider": "openai", "api_key": "any", "base_url": "http://{at}/v1"},
                   UPLOAD_FAULTS),
    "openai-llm": ("openai.chat", "llm", {"provider": "openai", "api_key": "any", "model": "m",
                                          "base_url": "http://{at}/v1"}, MODEL_FAULTS),
    "anthropic": ("anthropic.messages", "llm", {"provider": "anthropic", "api_key": "any",
                                                "model": "m", "base_url": "http://{at}"},
                  MODEL_FAULTS),
    "cartesia": ("cartesia.tts", "tts",
                 {"provider": "cartesia", "api_key": "any",
                  "base_url": "ws://{at}/tts/websocket"}, VOICE_FAULTS),
    "deepgram-tts": ("deepgram.speak", "tts",
                     {"provider": "deepgram", "api_key": "any", "encoding": "mulaw",
                      "base_url": "ws://{at}/v1/speak"}, VOICE_FAULTS),
    "elevenlabs": ("elevenlabs.input", "tts",
                   {"provider": "elevenlabs", "api_key": "any", "base_url": "ws://{at}/v1"},
                   VOICE_FAULTS),
    "openai-tts": ("openai.speech", "tts",
                   {"provider": "openai", "api_key": "any", "base_url": "http://{at}/v1"},
                   SPEECH_FAULTS),
}
KEYLESS = {"vosk"}

# Who goes on, and a death in the middle that no connecting anew can help: once it has begun to
# listen, to answer or to speak, the connection goes, and further ones are refused.
FALLBACKS = {"deepgram": "vosk", "assemblyai": "deepgram", "vosk": "deepgram",
             "openai-stt": "assemblyai", "openai-llm": "anthropic", "anthropic": "openai-llm",
             "cartesia": "deepgram-tts", "deepgram-tts": "elevenlabs", "elevenlabs": "cartesia",
             "openai-tts": "cartesia"}
REFUSED = ["request 1-99: status 401"]
STORM = ["request 1-99: status 500"]
DEATHS = {"deepgram": ["request 1: vanish after 1", "request 2-99: status 503"],
          "assemblyai": ["request 1: vanish after 3", "request 2-99: status 503"],
          "vosk": ["request 1: vanish after 1", "request 2-99: status 503"],
          "openai-stt": STORM, "openai-llm": STORM, "anthropic": STORM,
          "cartesia": ["request 1: vanish after 3", "request 2-99: status 503"],
          "deepgram-tts": ["request 1: vanish after 3", "request 2-99: status 503"],
          "elevenlabs": ["request 1: vanish after 3", "request 2-99: status 503"],
          "openai-tts": ["request 1-99: vanish after 2"]}


class Case:
    def __init__(self, number, name, faults=(), fallback=None):
        self.id = f"case-{number}"
        self.name, self.faults, self.fallback = name, list(faults), fallback
        self.refused = self.faults == REFUSED
        self.lost = not fallback and self.faults in (REFUSED, STORM)
        self.first = self.faults[0].split(": ")[1].split()[0] if self.faults else None

    def __str__(self):
        saved = f", then {self.fallback}" if self.fallback else ""
        return f"{self.name}, {'; '.join(self.faults) or 'no fault'}{saved}"


class Service:
    """A sidetone-providers of its own."""

    def __init__(self, folder, case):
        service = PROVIDERS[case.name][0]
        path = os.path.join(folder, f"{case.id}.providers.yaml")
        self.log = os.path.join(folder, f"{case.id}.providers.log")
        # A recogniser that is asked by utterance hears them one after the other.
        config = {"bind": "127.0.0.1:0", "log": self.log,
                  "hear": {"texts": HEARD, "count": "server", "transcription": "constant 200"},
                  "answer": {"rules": ["* => You said: {last}."]},
                  "faults": [f"{service} {fault}" for fault in case.faults]}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.process = subprocess.Popen([program("sidetone-providers"), "--config", path],
                                        stdout=subprocess.PIPE, text=True)
        self.at = json.loads(self.process.stdout.readline())["ready"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def befell(self):
        """The faults that happened, by name."""
        with open(self.log, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        return {event["fault"] for event in events if event["event"] == "fault"}


def block_of(name, at):
    return {key: value.replace("{at}", at) for key, value in PROVIDERS[name][2].items()}


def write_agent(folder, case, at):
    kind, mine = PROVIDERS[case.name][1], block_of(case.name, at)
    if case.fallback:
        mine["fallbacks"] = [block_of(case.fallback, at)]
    agent = {"name": case.id, "id": case.id, "greeting": "Hello.",
             "vad": {"provider": "silero", "stop_ms": 120},
             "stt": mine if kind == "stt" else block_of("deepgram", at),
             "llm": mine if kind == "llm" else {"provider": "scripted"},
             "tts": mine if kind == "tts" else {"provider": "scripted"}}
    path = os.path.join(folder, f"{case.id}.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(agent, file)
    return path


def place(server, case):
    where = types.SimpleNamespace(media=server.media.replace("clinic", case.id), api=server.api)
    steps = [option for text in SPOKEN for option in ("--say", sentence(text)[0])]
    return Call(where, steps, options=["--timeout", "90"]).finish()


def judge_lost(r, case, log, told):
    """No other provider: the call says why it ends, and ends."""
    kind, block = PROVIDERS[case.name][1:3]
    word = "provider_refused" if case.refused else "provider_failed"
    r.check(log["status"] == "failed", f"its status is {log['status']}: {told}")
    r.check(log["reason"].startswith(f"{word}: {kind} ({block['provider']}): "),
            f"its reason is {log['reason']}: {told}")
    said = " ".join(turn.get("said") or "" for turn in log["turns"])
    r.check(kind == "tts" or said.count("Please call again later.") == 1,
            f"its last words are not in {said}: {told}")


def judge_saved(r, case, log, told):
    kind = PROVIDERS[case.name][1]
    names = [PROVIDERS[name][2]["provider"] for name in (case.name, case.fallback)]
    r.check([(f["role"], f["from"], f["to"]) for f in log["failovers"]] == [(kind, *names)],
            f"its log says {log['failovers']}: {told}")


def judge(r, server, service, case, report):
    lines = [line["message"] for line in server.log() if line.get("agent_id") == case.id]
    heard = [m for m in lines if m.startswith("heard ")]
    says = [m for m in lines if m.startswith("says ")]
    why = report.get("error") or report.get("ended")
    told = f"{case}: {report['status']} ({why}), {lines[-4:]}"
    r.check(not case.first or case.first in service.befell(), f"its fault did not befall: {told}")
    log = server.log_of_carrier_call(report["call_id"], 30)
    if not r.check(log is not None, f"it left no log: {told}"):
        return
    if case.lost:
        judge_lost(r, case, log, told)
        return
    r.check(log["status"] == "completed", f"its status is {log['status']}: {told}")
    r.check(report["status"] == "completed", f"did not go on: {told}")
    whole = not case.faults or (case.fallback and PROVIDERS[case.name][1] != "stt")
    r.check(len(heard) >= (3 if whole else 2), f"{len(heard)} heard: {told}")
    r.check(heard and says and heard[-1].split('"')[1].rstrip(".") in says[-1],
            f"the last words were not answered: {told}")
    if case.fallback:
        judge_saved(r, case, log, told)
    if not case.faults:
        r.check([m.split('"')[1] for m in heard] == HEARD, f"heard otherwise: {heard}")


def run(r, folder, cases, at_once):
    services = [Service(folder, case) for case in cases]
    try:
        agents = [write_agent(folder, c, s.at) for c, s in zip(cases, services)]
        with Server(folder, {"agents": agents, "network": {"allow_private": True}}) as server:
            server.start()
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                reports = list(pool.map(lambda case: place(server, case), cases))
            for case, service, report in zip(cases, services, reports):
                judge(r, server, service, case, report)
            r.check(server.stop() == 0, "the server did not end in order")
            r.check(not server.errors(), f"it wrote {server.errors()}")
    finally:
        for service in services:
            service.stop()


def cases_of(name, o):
    """Faults and fallback of each call through this provider."""
    faults, fallback = PROVIDERS[name][3], FALLBACKS[name]
    if o.plain:
        return [()]
    refused = [] if name in KEYLESS else [(REFUSED,), (REFUSED, fallback)]
    storm = [(STORM,)] if PROVIDERS[name][1] == "llm" else []
    dies = [(DEATHS[name], fallback)]
    if o.sample:
        return [(), ([faults[0]],), refused[0] if refused else dies[0], dies[0]]
    return [()] + [([fault],) for fault in faults] + refused + storm + dies


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--plain", action="store_true", help="without the faults")
    options.add_argument("--sample", action="store_true", help="two faults of each provider")
    options.add_argument("--only", help="this provider alone")
    options.add_argument("--fault", default="", help="only the calls with these words in a fault")
    options.add_argument("--at-once", type=int, default=6, help="calls at one time")
    o = options.parse_args()
    r = Result("providers")
    cases = []
    for name in PROVIDERS:
        if not o.only or o.only == name:
            cases += [Case(0, name, *what) for what in cases_of(name, o)]
    cases = [case for case in cases if o.fault in "; ".join(case.faults)]
    for number, case in enumerate(cases):
        case.id = f"case-{number}"
    for text in SPOKEN:
        sentence(text)
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        run(r, folder, cases, o.at_once)
    r.facts["calls"] = len(cases)
    r.finish()


if __name__ == "__main__":
    main()
