"""Calls placed by sidetone-call, with sentences spoken by sidetone-say."""

import hashlib
import json
import os
import subprocess
import threading

from tests.live.server import BUILD, program

CALL_S = 180


def sentence(text, voice="rms", seed=1, noise_db=20):
    """A sentence as a telephone carries it, made once per build: (path of the WAV, number of its
    last voiced sample, as it was before the noise)."""
    key = hashlib.sha256(f"{text}|{voice}|{seed}|{noise_db}".encode()).hexdigest()[:16]
    path = os.path.join(BUILD, "live", f"{key}.wav")
    facts = f"{path}.json"
    if not os.path.exists(facts):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mine = f"{path}.{os.getpid()}"
        made = subprocess.run([program("sidetone-say"), "--voice", voice, "--text", text, "--out",
                               mine, "--seed", str(seed), "--noise-db", str(noise_db)],
                              check=True, stdout=subprocess.PIPE)
        os.rename(mine, path)
        with open(f"{mine}.json", "wb") as file:
            file.write(made.stdout)
        os.rename(f"{mine}.json", facts)
    with open(facts, encoding="utf-8") as file:
        return path, json.load(file)["last_voiced"]


class Call:
    """One call, under way from the moment this is made. `steps` are sidetone-call's options."""

    def __init__(self, server, steps, protocol="twilio", record=None, seed=None, options=()):
        where = ["--url", server.media] if protocol == "twilio" else [
            "--protocol", "rtp", "--api", server.api, "--agent", "clinic"]
        command = [program("sidetone-call"), *where, "--json", "--timeout", str(CALL_S), *steps,
                   *options]
        if record:
            command += ["--record", record]
        if seed is not None:
            command += ["--seed", str(seed)]
        self.lines = []
        self.error = ""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
        self.error = self.process.stderr.read()

    def answered(self):
        """How many turns have been answered so far."""
        return sum(1 for line in list(self.lines)
                   if "turn" in line and line["voice_to_voice_ms"] is not None)

    def finish(self, seconds=CALL_S + 20):
        """What sidetone-call says of the whole call."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        whole = [line for line in self.lines if "status" in line]
        return whole[-1] if whole else {"status": "no report", "turns": [], "error": self.error}


# A call of about half a minute: six turns, one of them an interruption and one a key.
WHOLE_CALL = [
    ("what are your opening hours", "rms"),
    ("how do i get to you", "kal16"),
    "1",
    ("can you repeat that please", "awb"),
    ("goodbye", "rms"),
]


def steps_of(call, barge_in=2):
    """Options of sidetone-call for a list of (sentence, voice) and keys; the `barge_in`-th sentence
    interrupts."""
    steps, spoken = [], 0
    for step in call:
        if isinstance(step, str):
            steps.append({"press": step, "meant": f"key {step}"})
            continue
        path, last = sentence(step[0], voice=step[1])
        spoken += 1
        steps.append({"say": path, "meant": step[0], "last_voiced_sample": last,
                      "barge_in": spoken == barge_in})
    text = json.dumps(steps)
    path = os.path.join(BUILD, "live", hashlib.sha256(text.encode()).hexdigest()[:16] + ".plan")
    mine = f"{path}.{os.getpid()}"
    with open(mine, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(mine, path)
    return ["--plan", path]
