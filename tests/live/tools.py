"""A tool behind a URL: the model asks for it, the server calls it once with the arguments and an
idempotency key, and what it answers is said. What it may not reach, and what fails, is told to the
model instead."""

import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from tests.live.caller import Call, sentence
from tests.live.result import Result
from tests.live.server import Server, program

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
                else json.dumps({"order": body["arguments"]["number"], "state": "sent"}).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def start_model(folder):
    """The simulated model calls the tool at every question and repeats what it is told."""
    path = os.path.join(folder, "providers.yaml")
    config = {"bind": "127.0.0.1:0", "log": os.path.join(folder, "providers.log"),
              "hear": {"texts": HEARD, "count": "server"},
              "answer": {"rules": ['order => call order_status {"number":"17"}',
                                   'once more => call order_status {"number":"18"}',
                                   "goodbye => Goodbye. | call end_call {}",
                                   "* => It says {last}."]}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    process = subprocess.Popen([program("sidetone-providers"), "--config", path],
                               stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())["ready"]


def write_agent(folder, at, url):
    agent = {"name": "Shop", "id": "clinic", "greeting": "Hello.",
             "vad": {"provider": "silero", "stop_ms": 120},
             "stt": {"provider": "deepgram", "api_key": "any", "base_url": f"ws://{at}/v1/listen"},
             "llm": {"provider": "openai", "api_key": "any", "model": "m",
                     "base_url": f"http://{at}/v1"},
             "tts": {"provider": "scripted"},
             "tools": [{"name": "order_status", "description": "Looks an order up.", "url": url,
                        "timeout_ms": 1000, "headers": {"X-Shop": "key"},
                        "parameters": {"type": "object", "required": ["number"],
                                       "properties": {"number": {"type": "string"}}}}]}
    path = os.path.join(folder, "shop.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(agent, file)
    return path


def one_call(folder, shop, path, private=True):
    """What was said in a call whose tool is at this path, and its log."""
    shop.asked.clear()
    model, at = start_model(folder)
    try:
        agent = write_agent(folder, at, shop.url + path)
        config = {"agents": [agent], "network": {"allow_private": private}}
        with Server(folder, config, name="server" + path.strip("/") + str(private)) as server:
            server.start()
            steps = [option for text in HEARD for option in ("--say", sentence(text)[0])]
            report = Call(server, steps, options=["--timeout", "60"]).finish()
            log = server.log_of_carrier_call(report["call_id"], 10)
            asked = [json.loads(line) for line in
                     open(os.path.join(folder, "providers.log"), encoding="utf-8")]
            server.stop()
        return [t["said"] for t in log["turns"] if t.get("said")], log, asked
    finally:
        model.send_signal(signal.SIGTERM)
        model.wait(10)


def main():
    r = Result("tools")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        shop = Shop()
        said, log, _ = one_call(folder, shop, "/order")
        told = f"said {said}"
        r.check(any('"order":"17"' in s.replace("\\", "") or "sent" in s for s in said),
                f"the tool's answer was not said: {told}")
        if r.check([a[2]["arguments"] for a in shop.asked] == [{"number": "17"}, {"number": "18"}],
                   f"the tool was asked {[a[2] for a in shop.asked]}"):
            path, headers, body = shop.asked[0]
            r.check(headers.get("X-Shop") == "key", "its header was not sent")
            r.check(headers.get("Idempotency-Key") == body["idempotency_key"] and
                    body["idempotency_key"] != shop.asked[1][2]["idempotency_key"],
                    "each call has a key of its own")
            r.check(body["tool"] == "order_status" and body["agent"] == "clinic" and
                    body["call_id"] == log["call_id"], f"its body is {body}")
        r.check(len(log["effects"]) == 2, f"the log has {log['effects']}")
        for path, want in (("/text", "on its way"), ("/broken", "500"), ("/slow", "failed"),
                           ("/long", "failed")):
            said, _, _ = one_call(folder, shop, path)
            r.check(any(want in s for s in said), f"{path}: said {said}")
        said, _, _ = one_call(folder, shop, "/order", private=False)
        r.check(not shop.asked, "a private address was reached")
        r.check(any("failed" in s for s in said), f"a private address: said {said}")
        shop.shutdown()
    r.finish()


if __name__ == "__main__":
    main()
