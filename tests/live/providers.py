"""Calls through every provider behind a network, against sidetone-providers: plain ones, and one
for each fault that can befall the provider. A fault may cost its turn; the call goes on, and what
comes after it is heard and answered. A key that is refused is said so."""

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

SOCKET_FAULTS = ["request 1: status 503", "request 1: reset", "request 1: late 300",
                 "request 1: close after 1", "request 1: vanish after 2", "request 1: silence",
                 "request 1: garbage after 1", "request 1: utf8 after 1",
                 "request 1: noise after 1", "request 1: huge 200000 after 1",
                 "request 1: drip 4000"]
REQUEST_FAULTS = ["request 1: status 429", "request 1: status 500", "request 1: reset",
                  "request 1: late 300", "request 1: close after 1", "request 1: vanish after 1",
                  "request 1: garbage after 1", "request 1: utf8 after 1",
                  "request 1: huge 200000 after 1", "request 1: drip 400",
                  "request 1: error after 1", "request 1: silence after 1"]
# A voice that comes slower than it is heard is no voice, so nothing drips.
SPEECH_FAULTS = ["request 1: status 503", "request 1: reset", "request 1: late 300",
                 "request 1: close after 1", "request 1: vanish after 2", "request 1: silence",
                 "request 1: garbage after 1", "request 1: utf8 after 1",
                 "request 1: noise after 1", "request 1: huge 200000 after 1",
                 "request 1: error after 2"]

# name: the service it speaks with, its kind, its block of the agent's file
PROVIDERS = {
    "deepgram": ("deepgram.listen", "stt", {"provider": "deepgram", "api_key": "any",
                                            "base_url": "ws://{at}/v1/listen"}, SOCKET_FAULTS),
    "vosk": ("vosk", "stt", {"provider": "vosk", "base_url": "ws://{at}"}, SOCKET_FAULTS),
    "openai-stt": ("openai.transcription", "stt",
                   {"provider": "openai", "api_key": "any", "base_url": "http://{at}/v1"},
                   ["request 1: status 500", "request 1: reset", "request 1: late 300",
                    "request 1: close", "request 1: garbage", "request 1: silence"]),
    "openai-llm": ("openai.chat", "llm", {"provider": "openai", "api_key": "any", "model": "m",
                                          "base_url": "http://{at}/v1"}, REQUEST_FAULTS),
    "anthropic": ("anthropic.messages", "llm", {"provider": "anthropic", "api_key": "any",
                                                "model": "m", "base_url": "http://{at}"},
                  REQUEST_FAULTS),
    "cartesia": ("cartesia.tts", "tts",
                 {"provider": "cartesia", "api_key": "any",
                  "base_url": "ws://{at}/tts/websocket"}, SPEECH_FAULTS),
    "deepgram-tts": ("deepgram.speak", "tts",
                     {"provider": "deepgram", "api_key": "any", "encoding": "mulaw",
                      "base_url": "ws://{at}/v1/speak"}, SPEECH_FAULTS),
    "elevenlabs": ("elevenlabs.input", "tts",
                   {"provider": "elevenlabs", "api_key": "any", "base_url": "ws://{at}/v1"},
                   SPEECH_FAULTS),
    "openai-tts": ("openai.speech", "tts",
                   {"provider": "openai", "api_key": "any", "base_url": "http://{at}/v1"},
                   ["request 1: status 429", "request 1: status 500", "request 1: reset",
                    "request 1: late 300", "request 1: close after 2", "request 1: vanish after 2",
                    "request 2: silence", "request 2: silence after 3"]),
}
FAILED = {"stt": "speech recognition failed", "llm": "the language model failed",
          "tts": "speech synthesis failed"}
KEYLESS = {"vosk"}


class Case:
    def __init__(self, number, name, fault):
        self.id = f"case-{number}"
        self.name, self.fault = name, fault
        self.refused = bool(fault) and fault.endswith("status 401")

    def __str__(self):
        return f"{self.name}, {self.fault or 'no fault'}"


class Service:
    """A sidetone-providers of its own."""

    def __init__(self, folder, case):
        service = PROVIDERS[case.name][0]
        path = os.path.join(folder, f"{case.id}.providers.yaml")
        # A recogniser that is asked by utterance hears them one after the other.
        config = {"bind": "127.0.0.1:0", "log": os.path.join(folder, f"{case.id}.providers.log"),
                  "hear": {"texts": HEARD, "count": "server", "transcription": "constant 200"},
                  "answer": {"rules": ["* => You said: {last}."]},
                  "faults": [f"{service} {case.fault}"] if case.fault else []}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.process = subprocess.Popen([program("sidetone-providers"), "--config", path],
                                        stdout=subprocess.PIPE, text=True)
        self.at = json.loads(self.process.stdout.readline())["ready"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def write_agent(folder, case, at):
    kind, block = PROVIDERS[case.name][1:3]
    mine = {key: value.replace("{at}", at) for key, value in block.items()}
    listener = {key: value.replace("{at}", at) for key, value in PROVIDERS["deepgram"][2].items()}
    agent = {"name": case.id, "id": case.id, "greeting": "Hello.",
             "vad": {"provider": "silero", "stop_ms": 120},
             "stt": mine if kind == "stt" else listener,
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


def judge(r, server, case, report):
    lines = [line["message"] for line in server.log() if line.get("agent_id") == case.id]
    heard = [m for m in lines if m.startswith("heard ")]
    says = [m for m in lines if m.startswith("says ")]
    why = report.get("error") or report.get("ended")
    told = f"{case}: {report['status']} ({why}), {lines[-4:]}"
    if case.refused:
        r.check(any("the key was refused" in m for m in lines), f"not said why: {told}")
        return
    r.check(report["status"] == "completed", f"did not go on: {told}")
    r.check(len(heard) >= (2 if case.fault else 3), f"{len(heard)} heard: {told}")
    r.check(heard and says and heard[-1].split('"')[1].rstrip(".") in says[-1],
            f"the last words were not answered: {told}")
    if not case.fault:
        r.check([m.split('"')[1] for m in heard] == HEARD, f"heard otherwise: {heard}")


def run(r, folder, cases, at_once):
    services = [Service(folder, case) for case in cases]
    try:
        agents = [write_agent(folder, c, s.at) for c, s in zip(cases, services)]
        with Server(folder, {"agents": agents, "network": {"allow_private": True}}) as server:
            server.start()
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                reports = list(pool.map(lambda case: place(server, case), cases))
            for case, report in zip(cases, reports):
                judge(r, server, case, report)
            r.check(server.stop() == 0, "the server did not end in order")
            r.check(not server.errors(), f"it wrote {server.errors()}")
    finally:
        for service in services:
            service.stop()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--plain", action="store_true", help="without the faults")
    options.add_argument("--sample", action="store_true", help="two faults of each provider")
    options.add_argument("--only", help="this provider alone")
    options.add_argument("--at-once", type=int, default=6, help="calls at one time")
    o = options.parse_args()
    r = Result("providers")
    cases = []
    for name, (_, _, _, faults) in PROVIDERS.items():
        refused = ["request 1-9: status 401"] if name not in KEYLESS else []
        chosen = [] if o.plain else faults[:2] if o.sample else faults + refused
        for fault in [None] + chosen:
            if not o.only or o.only == name:
                cases.append(Case(len(cases), name, fault))
    for text in SPOKEN:
        sentence(text)
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        run(r, folder, cases, o.at_once)
    r.facts["calls"] = len(cases)
    r.finish()


if __name__ == "__main__":
    main()
