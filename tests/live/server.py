"""A server of one's own: configuration in a temporary folder, free ports, its log as a list."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("SIDETONE_BUILD", "build/release"))
READY_S, ANSWER_S = 60, 30


def program(name):
    return os.path.join(BUILD, name)


def share():
    """Where the binary finds its agents and weights."""
    return os.path.join(os.path.dirname(os.path.dirname(BUILD)), "data")


given = set() # ports of this process: servers that start at the same time must not share one
giving = threading.Lock()


def free_port():
    """Not one of those that the kernel gives to outgoing connections: it might, before the server
    that this one is for has begun to listen."""
    while True:
        port = random.randrange(20000, 30000)
        with giving:
            if port in given:
                continue
            given.add(port)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def short_agent(folder, greeting="Hello.", file="clinic.yaml", **more):
    """The clinic with a greeting that does not take long, as a file in `folder`. `more` are keys of
    the top level, as JSON values."""
    agents = os.path.join(share(), "agents")
    with open(os.path.join(agents, "clinic.yaml"), encoding="utf-8") as clinic:
        text = clinic.read()
    text = re.sub(r"^greeting: >-\n(?:  .*\n)+", f"greeting: {json.dumps(greeting)}\n", text,
                  flags=re.M)
    text = re.sub(r"^(  (?:grammar|rules): )(\S+)$",
                  lambda m: m[1] + os.path.join(agents, m[2]), text, flags=re.M)
    for key, value in more.items():
        text = re.sub(rf"^{key}:.*\n(?:[ #].*\n)*", "", text, flags=re.M)
        text += f"{key}: {json.dumps(value)}\n"
    path = os.path.join(folder, file)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def merged(base, more):
    out = dict(base)
    for key, value in more.items():
        out[key] = merged(out[key], value) if isinstance(out.get(key), dict) else value
    return out


class Server:
    """`config` is merged over a sane one. Not started until start()."""

    def __init__(self, folder, config=None, agent=None, prefix=(), name="server"):
        self.folder = folder
        self.prefix = list(prefix)
        self.name = name
        self.api_port, self.media_port = free_port(), free_port()
        self.data = os.path.join(folder, "data")
        self.config = merged({
            "data_dir": self.data,
            "drain_seconds": 60,
            "api": {"bind": f"127.0.0.1:{self.api_port}"},
            "media": {"bind": f"127.0.0.1:{self.media_port}"},
            "rtp": {"ports": "20000-29999"},
        }, config or {})
        self.agent = agent
        self.process = None
        self.log_path = os.path.join(folder, f"{name}.log")
        self.error_path = os.path.join(folder, f"{name}.err")

    # ---- life

    def twin(self, name):
        """Another one with the same configuration, ports and data."""
        other = Server(self.folder, self.config, self.agent, self.prefix, name)
        other.config = self.config
        other.api_port, other.media_port, other.data = self.api_port, self.media_port, self.data
        return other

    def command(self):
        # JSON is YAML, so nothing needs quoting.
        path = os.path.join(self.folder, f"{self.name}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.config, file)
        agent = ["--agent", self.agent] if self.agent else []
        return self.prefix + [program("sidetone"), "--config", path] + agent

    def start(self, wait=True):
        with open(self.log_path, "ab") as log, open(self.error_path, "ab") as error:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=error,
                                            stdin=subprocess.DEVNULL)
        return self.wait_ready() if wait else self

    def wait_ready(self):
        until = time.monotonic() + READY_S
        while not any("ready:" in line["message"] for line in self.log_of_process()):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: "
                                   f"{self.errors() or self.log()[-3:]}")
            if time.monotonic() > until:
                self.kill()
                raise RuntimeError("the server did not become ready")
            time.sleep(0.02)
        return self

    @property
    def pid(self):
        """Of the server itself, also behind a prefix such as strace."""
        pid = self.process.pid
        if self.prefix:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                children = file.read().split()
            pid = int(children[0]) if children else pid # a prefix such as taskset becomes it
        return pid

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """kill -9, and everything of it gone."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                self.signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def wait(self, seconds=90):
        """Its exit code; -9 and killed if it does not end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def stop(self, seconds=90):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # ---- what it says

    def log(self):
        lines = []
        with contextlib.suppress(FileNotFoundError), open(self.log_path, "rb") as file:
            for line in file.read().splitlines():
                with contextlib.suppress(ValueError): # cut by a kill
                    lines.append(json.loads(line))
        return lines

    def log_of_process(self):
        """Since the last start."""
        lines = self.log()
        return lines[self.skipped:] if hasattr(self, "skipped") else lines

    def restart_log(self):
        """What is logged from now on is log_of_process()."""
        self.skipped = len(self.log())

    def said(self, pattern, seconds=0.0, call_id=None):
        """The log lines whose message matches; waits up to `seconds` for the first."""
        until = time.monotonic() + seconds
        while True:
            found = [line for line in self.log_of_process()
                     if re.search(pattern, line["message"]) and
                     (call_id is None or line.get("call_id") == call_id)]
            if found or time.monotonic() >= until:
                return found
            time.sleep(0.05)

    def errors(self):
        with open(self.error_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- its API

    @property
    def api(self):
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def media(self):
        return f"ws://127.0.0.1:{self.media_port}/media/clinic"

    def get(self, path):
        with urllib.request.urlopen(self.api + path, timeout=ANSWER_S) as answer:
            return answer.read().decode()

    def json(self, path):
        return json.loads(self.get(path))

    def post(self, path, body):
        request = urllib.request.Request(self.api + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return json.loads(answer.read())

    def delete(self, path):
        request = urllib.request.Request(self.api + path, method="DELETE")
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status

    def call_log(self, call_id, seconds=0.0):
        """The log of a call, or None."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.json(f"/call-logs/{call_id}")
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
            if time.monotonic() >= until:
                return None
            time.sleep(0.1)

    def log_of_carrier_call(self, carrier_call_id, seconds=30.0):
        """The log of the call that the caller's program knows by this id, or None."""
        begun = {line["call_id"] for line in self.log() if line.get("call_id")}
        until = time.monotonic() + seconds
        while True:
            for call_id in sorted(begun, reverse=True):
                found = self.call_log(call_id)
                if found and carrier_call_id in (found["carrier_call_id"], call_id):
                    return found
            if time.monotonic() >= until:
                return None
            time.sleep(0.1)

    def running_calls(self):
        """Ids of the calls that go on."""
        return [a["call_id"] for shard in self.json("/actors")["shards"]
                for a in shard["actors"] if a["type"] == "call"]

    def metrics(self):
        """Samples of /metrics by their whole name."""
        out = {}
        for line in self.get("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    # ---- what it costs

    def rss_kb(self, kind="VmRSS"):
        """Memory in use; RssAnon leaves out mapped files."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{kind}:\s+(\d+) kB", file.read(), re.M)[1])

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def journal(self):
        return sorted(os.listdir(os.path.join(self.data, "journal")))
