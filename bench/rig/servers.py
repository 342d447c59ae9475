"""What is measured of our own: the server with the scripted agent, and the two echoes."""
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

from rig.place import BUILD, LOCAL, ROOT, SERVER_CORE, beside, say

API, MEDIA, ECHO = 18080, 17960, 20000
# What the agent waits for by its own configuration: 250 ms of patience behind the last voiced
# sample, 40 ms for the final text, 50 ms for the first token, 30 ms for the first sound.
SCRIPT_MS = 250 + 40 + 50 + 30
METRIC = re.compile(r"^sidetone_(\w+)(?:\{[^}]*\})? ([0-9.e+]+)$", re.M)


class Server:
    """One shard, pinned by itself to the server's core; the rest of the server stays beside it."""

    def __init__(self, folder, calls, extra="", agent=ROOT / "bench/load/agent/load.yaml"):
        config = folder / "server.yaml"
        config.write_text(
            "data_dir: %s/data\nagents: [%s]\nshards: 1\ncalls_max: %d\n"
            "api: {bind: \"127.0.0.1:%d\"}\nmedia: {bind: \"127.0.0.1:%d\"}\n"
            "rtp: {ports: 40000-49999}\nrecording: {enabled: false}\nlog: {level: warn}\n"
            "drain_seconds: 0\n%s" # of callers that went without a word nothing is awaited
            % (folder, agent, calls, API, MEDIA, extra))
        self.folder = folder
        self.log = open(folder / "server.log", "ab")
        self.process = subprocess.Popen(
            beside(SERVER_CORE, False) + [str(BUILD / "sidetone"), "--config", str(config)],
            stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        until = time.monotonic() + 15
        while True:
            try:
                self.read("/health")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the server does not start: see %s" % self.log.name) from None
                time.sleep(0.05)

    def read(self, path):
        return urllib.request.urlopen("http://127.0.0.1:%d%s" % (API, path), timeout=2).read()

    def metrics(self):
        """By name, labels summed up."""
        found = {}
        for name, value in METRIC.findall(self.read("/metrics").decode()):
            found[name] = found.get(name, 0) + float(value)
        return found

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            say("the server did not stop within 20 s of SIGTERM")
        self.log.close()
        shutil.rmtree(self.folder / "data", ignore_errors=True)


class Ledger(threading.Thread):
    """Reads the server's own account of its memory once a second while it is loaded."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended, self.seen = server, threading.Event(), []
        self.before = server.metrics().get("own_bytes")

    def run(self):
        while not self.ended.wait(1):
            try:
                m = self.server.metrics()
            except OSError:
                continue
            self.seen.append((m.get("calls_active", 0), m.get("own_bytes")))

    def bytes_per_call(self):
        """The mean where most calls were up; None if the server keeps no such account."""
        self.ended.set()
        self.join()
        most = max((calls for calls, _ in self.seen), default=0)
        full = [own for calls, own in self.seen if calls == most and own is not None]
        if self.before is None or not most or not full:
            return None
        return round((sum(full) / len(full) - self.before) / most)


class Echo:
    """`sidetone-bench-echo`: the bare kernel; `sidetone-bench-echo-agent`: on our runtime."""

    def __init__(self, program, calls):
        self.process = subprocess.Popen(
            beside(SERVER_CORE, True) +
            [str(BUILD / program), str(ECHO), str(LOCAL), str(calls)], stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            raise SystemExit("%s does not start: its ports are taken" % program)
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cores():
    return len(os.sched_getaffinity(0))
