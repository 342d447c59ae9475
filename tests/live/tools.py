"""A tool behind a URL: the model asks for it, the server calls it once with the arguments and an
idempotency key, and what it answers is said. What it may not reach, and what fails, is told to the
model instead."""

import concurrent.futures
import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from tests.live.caller import Call, sentence
from tests.live.result import Result
from tests.live.server import ROOT, Server, free_port, program

HEARD = ["where is my order", "try it once more", "goodbye"]


class Shop(http.server.ThreadingHTTPServer):
    """Whose tools they are: keeps what it was asked, answers as the path says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ShopHandler)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class ShopHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        if self.path == "/slow":
            time.sleep(3)
        status = 500 if self.path == "/broken" else 200
        text = (b"on its way" if self.path == "/text" else b"x" * 5000 if self.path == "/long"
                else json.dumps({"parcel": body["arguments"]["number"], "state": "sent"}).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError): # who asked has given up
            self.wfile.write(text)

    def log_message(self, *_):
        pass


def start_model(folder, heard):
    """The simulated model calls the tool at every question and repeats what it is told."""
    path = os.path.join(folder, "providers.yaml")
    config = {"bind": "127.0.0.1:0", "log": os.path.join(folder, "providers.log"),
              "hear": {"texts": list(heard), "count": "server"},
              "answer": {"rules": ['order => call order_status {"number":"17"}',
                                   'once more => call order_status {"number":"18"}',
                                   'wrong => call order_status {"number":17}',
                                   "goodbye => Goodbye. | call end_call {}",
                                   "* => It says {last}."]}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    process = subprocess.Popen([program("sidetone-providers"), "--config", path],
                               stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())["ready"]


def write_agent(folder, at, url, model, timeout_ms):
    agent = {"name": "Shop", "id": "clinic", "greeting": "Hello.",
             "vad": {"provider": "silero", "stop_ms": 120},
             "stt": {"provider": "deepgram", "api_key": "any", "base_url": f"ws://{at}/v1/listen"},
             "llm": {"provider": "openai", "api_key": "any", "model": "m",
                     "base_url": model or f"http://{at}/v1"},
             "tts": {"provider": "scripted"},
             "tools": [{"name": "order_status", "description": "Looks an order up.", "url": url,
                        "timeout_ms": timeout_ms, "headers": {"X-Shop": "key"},
                        "parameters": {"type": "object", "required": ["number"],
                                       "properties": {"number": {"type": "string"}}}}]}
    path = os.path.join(folder, "shop.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(agent, file)
    return path


def one_call(folder, url, private=True, llm=None, timeout_ms=5000, heard=tuple(HEARD)):
    """What was said in a call whose tool is at this URL, and its log."""
    model, at = start_model(folder, heard)
    try:
        agent = write_agent(folder, at, url, llm, timeout_ms)
        config = {"agents": [agent], "network": {"allow_private": private}}
        with Server(folder, config) as server:
            server.start()
            steps = [option for text in HEARD for option in ("--say", sentence(text)[0])]
            report = Call(server, steps, options=["--timeout", "60"]).finish()
            log = server.log_of_carrier_call(report["call_id"], 30)
            server.stop()
        return [t["said"] for t in log["turns"] if t.get("said")], log
    finally:
        model.send_signal(signal.SIGTERM)
        model.wait(60)


@contextlib.contextmanager
def example(name):
    """One of docs/examples, running; gives its URL."""
    port = free_port()
    program_of = {"py": [sys.executable, "-B"], "cjs": ["node"]}[name.rsplit(".", 1)[1]]
    process = subprocess.Popen([*program_of, os.path.join(ROOT, "docs", "examples", name),
                                str(port)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


# ---- what must hold: each case has a folder, a shop, a model and a server of its own

def asked_once(r, folder):
    shop = Shop()
    said, log = one_call(folder, shop.url + "/order")
    r.check(any("17" in s and "sent" in s for s in said),
            f"the tool's answer was not said: said {said}")
    if not r.check([a[2]["arguments"] for a in shop.asked] == [{"number": "17"}, {"number": "18"}],
                   f"the tool was asked {[a[2] for a in shop.asked]}"):
        return
    _, headers, body = shop.asked[0]
    r.check(headers.get("X-Shop") == "key", "its header was not sent")
    r.check(headers.get("Idempotency-Key") == body["idempotency_key"] and
            body["idempotency_key"] != shop.asked[1][2]["idempotency_key"],
            "each call has a key of its own")
    r.check(body["tool"] == "order_status" and body["agent"] == "clinic" and
            body["call_id"] == log["call_id"], f"its body is {body}")
    r.check(len(log["effects"]) == 2, f"the log has {log['effects']}")


def checked(r, folder):
    """Arguments that break the schema reach the model's ear and not the tool's."""
    shop = Shop()
    said, log = one_call(folder, shop.url + "/order", heard=["a wrong one", *HEARD[1:]])
    r.check([a[2]["arguments"] for a in shop.asked] == [{"number": "18"}],
            f"the tool was asked {[a[2] for a in shop.asked]}")
    r.check(any("must be of type string" in s for s in said), f"wrong arguments: said {said}")
    r.check(len(log["effects"]) == 2, f"the log has {log['effects']}")


def told(path, want, timeout_ms=5000):
    """What a tool at this path does is told to the model in these words."""
    def case(r, folder):
        said, _ = one_call(folder, Shop().url + path, timeout_ms=timeout_ms)
        r.check(any(want in s for s in said), f"{path}: said {said}")
    return case


def guarded(r, folder):
    shop = Shop()
    said, _ = one_call(folder, shop.url + "/order", private=False)
    r.check(not shop.asked, "a private address was reached")
    r.check(any("failed" in s for s in said), f"a private address: said {said}")


def example_tool(name):
    """The documents' own code, as it stands there."""
    def case(r, folder):
        with example(name) as url:
            said, _ = one_call(folder, url)
        r.check(any("17" in s and "sent" in s for s in said), f"{name}: said {said}")
    return case


def example_model(name):
    def case(r, folder):
        with example(name) as url:
            said, _ = one_call(folder, "http://127.0.0.1:9/", llm=url + "/v1")
        r.check(any("You said where is my order." in s for s in said), f"{name}: said {said}")
    return case


CASES = [asked_once, checked, told("/text", "on its way"), told("/broken", "500"),
         told("/slow", "failed", timeout_ms=1000),
         told("/long", "failed"), guarded, example_tool("tool.py"), example_tool("tool.cjs"),
         example_model("model.py"), example_model("model.cjs")]


def main():
    r = Result("tools")
    for text in HEARD:
        sentence(text)
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        def run(number):
            mine = os.path.join(folder, str(number))
            os.mkdir(mine)
            CASES[number](r, mine)
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            list(pool.map(run, range(len(CASES))))
    r.finish()


if __name__ == "__main__":
    main()
