"""The load harness beside a server of one's own: one shard, scripted providers, no recording."""

import json
import os
import struct
import subprocess
import time

from tests.live.server import BUILD, ROOT, Server, program

AGENTS = os.path.join(ROOT, "bench/load/agent")
FIXED = ["taskset", "-c", "0"]
HARNESS = ["taskset", "-c", "1"]


def loaded_server(folder, calls, agent="load", prefix=(), **more):
    config = {"shards": 1, "calls_max": calls, "agents": [os.path.join(AGENTS, agent + ".yaml")],
              "recording": {"enabled": False}, "log": {"level": "warn"},
              "rtp": {"ports": "40000-49999"}, **more}
    server = Server(folder, config, prefix=prefix)
    server.start(wait=False)
    return wait_up(server)


def wait_up(server):
    """At this level nothing is said of being ready."""
    until = time.monotonic() + 20
    while True:
        try:
            server.get("/health")
            return server
        except OSError:
            if server.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not start: {server.errors()}") from None
            time.sleep(0.05)


def first_in(command):
    """Real-time where we may: a harness that is kept waiting blames the server."""
    chrt = ["chrt", "-f", "5"]
    good = subprocess.run(chrt + ["true"], capture_output=True, check=False).returncode == 0
    return HARNESS + (chrt if good else []) + command


VOICES = ["slt", "rms", "awb"] # kal is no voice to the network for a second at a time
SENTENCES = ["good morning i would like to make an appointment for next tuesday in the afternoon",
             "could you please tell me when you are open during the week and on saturdays",
             "my daughter has had a cough since the day before yesterday and she feels warm",
             "no thank you i will call again when i know what my plans for the summer are"]


def speech(folder):
    """Sentences by several voices, for detectors that a buzz does not convince."""
    path = os.path.join(folder, "speech")
    os.mkdir(path)
    for voice in VOICES:
        for i, text in enumerate(SENTENCES):
            subprocess.run([program("sidetone-say"), "--voice", voice, "--text", text, "--out",
                            os.path.join(path, f"{voice}{i}.wav")], check=True,
                           stdout=subprocess.DEVNULL)
    return path


class Load:
    """One harness, running. report() waits for it."""

    def __init__(self, folder, name, server, via, agent="load", *options):
        self.path = os.path.join(folder, name + ".json")
        where = (["--media", f"ws://127.0.0.1:{server.media_port}/media/{agent}"]
                 if via == "twilio" else ["--api", server.api, "--agent", agent])
        self.process = subprocess.Popen(first_in(
            [program("sidetone-load"), "--via", via, "--pid", str(server.pid), "--json", self.path,
             "--no-progress", *where, *map(str, options)]), stdout=subprocess.DEVNULL)

    def report(self):
        code = self.process.wait()
        if code == 2:
            raise RuntimeError("the harness could not run")
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)


def warm(folder, server, agent="load"):
    """One call of each kind, so that what is opened once is open."""
    for via in ("rtp", "twilio"):
        Load(folder, "warm", server, via, agent, "--calls", 1, "--settle", 0, "--hold", 1).report()
    time.sleep(5)


def held(server):
    """What a server without calls holds: actors and frames of each shard, descriptors."""
    shards = server.json("/actors")["shards"]
    # The connection of this very request, or of one before it, may still be closing.
    fds = min(server.fds() for _ in range(10) if not time.sleep(0.1))
    return {"actors": [s["actors_count"] for s in shards],
            "frames": [s["frames_used"] for s in shards], "fds": fds}


def settled(r, server, before, seconds=5.0, what="at the end"):
    """So many seconds after the last call it holds what it held before the first."""
    time.sleep(seconds)
    after = held(server)
    r.check(after == before, f"{what}: {after}, before {before}")


def shard_threads(server):
    found = []
    for tid in os.listdir(f"/proc/{server.pid}/task"):
        with open(f"/proc/{server.pid}/task/{tid}/comm", encoding="ascii") as file:
            if file.read().startswith("shard"):
                found.append(int(tid))
    return found


class Allocations:
    """bench/count_alloc.c, preloaded into a server: what its shards have asked of malloc."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "allocations")
        self.prefix = ["env", "LD_PRELOAD=" + os.path.join(BUILD, "libcount-alloc.so"),
                       "COUNT_ALLOC=" + self.path]

    def of(self, threads):
        """Times that these threads have allocated so far."""
        return sum(row[1] for row in self.rows(threads))

    def rows(self, threads):
        with open(self.path, "rb") as file:
            return [row for row in struct.iter_unpack("4q12Q", file.read()) if row[0] in threads]

    def last(self, pid, threads):
        """Who asked last in each of them, as functions of the server's own binary."""
        with open(f"/proc/{pid}/maps", encoding="ascii") as file:
            base = int(file.readline().split("-")[0], 16)
        found = []
        for _, _, _, calls, *at in self.rows(threads):
            lines = subprocess.run(
                ["addr2line", "-f", "-s", "-e", f"/proc/{pid}/exe",
                 *(hex(max(0, one - base - 1)) for one in at[:calls])],
                capture_output=True, text=True, check=False).stdout.split("\n")
            found.append(" < ".join(line for line in lines[0:-1:2] if line != "??"))
        return found
