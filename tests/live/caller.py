"""Calls placed by sidetone-call, with sentences spoken by sidetone-say."""

import hashlib
import json
import os
import subprocess
import threading

from tests.live.server import BUILD, program

CALL_S = 180


def sentence(text, voice="rms", seed=1, noise_db=20):
    """Path of the WAV of a sentence as a telephone carries it; made once per build."""
    key = hashlib.sha256(f"{text}|{voice}|{seed}|{noise_db}".encode()).hexdigest()[:16]
    path = os.path.join(BUILD, "live", f"{key}.wav")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        whole = f"{path}.{os.getpid()}"
        subprocess.run([program("sidetone-say"), "--voice", voice, "--text", text, "--out", whole,
                        "--seed", str(seed), "--noise-db", str(noise_db)],
                       check=True, stdout=subprocess.DEVNULL)
        os.rename(whole, path)
    return path


def say(text, **more):
    return ["--say", sentence(text, **more)]


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
    """Options of sidetone-call for a list of (sentence, voice) and keys."""
    steps = []
    for step in call:
        steps += ["--dtmf", step] if isinstance(step, str) else say(step[0], voice=step[1])
    return steps + ([f"--barge-in={barge_in}"] if barge_in else [])
