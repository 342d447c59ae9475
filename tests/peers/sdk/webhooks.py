#!/usr/bin/env python3
"""Twilio's and Plivo's own validators against the server: do they agree on which webhooks are
genuine? And a call by each one's media protocol, placed with npm's WebSocket and nothing of ours;
one more by Twilio's whose sound is written and read by Pipecat's serializer.
tools/get-peers has fetched them. Run from the root: python3 -m tests.peers.sdk.webhooks"""
import json
import os
import subprocess
import sys
import tempfile

from tests.live.caller import sentence
from tests.live.server import ROOT, Server, short_agent

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(ROOT, "build", "peers")
PUBLIC = "https://voice.example.com"
SECRET = "0123456789abcdef0123456789abcdef"


def node(script, *arguments):
    env = {"PATH": os.environ["PATH"], "HOME": PEERS,
           "NODE_PATH": os.path.join(PEERS, "node", "node_modules")}
    return subprocess.run(["node", os.path.join(HERE, script), *arguments], timeout=120, env=env,
                          stdout=subprocess.PIPE, text=True)


def pipecat(*arguments):
    env = {"PATH": os.environ["PATH"], "HOME": PEERS, "LC_ALL": "C.UTF-8", "LOGURU_LEVEL": "ERROR",
           "PYTHONPATH": os.pathsep.join(os.path.join(PEERS, p) for p in ("pipecat", "python"))}
    return subprocess.run([sys.executable, "-B", "-W", "ignore",
                           os.path.join(HERE, "call_pipecat.py"), *arguments], timeout=120, env=env,
                          stdout=subprocess.PIPE, text=True)


CALLS = [
    ("npm's WebSocket", "twilio", "CAnode", lambda *to: node("call.cjs", "twilio", *to)),
    ("npm's WebSocket", "plivo", "c-node", lambda *to: node("call.cjs", "plivo", *to)),
    ("Pipecat's serializer", "twilio", "CApipecat", pipecat),
]


def call(server, peer, dialect, call_id, place):
    """Whether a call by this dialect was greeted, heard, answered and ended by the agent."""
    token = server.post("/media-tokens", {"agent": "clinic"})["token"]
    said = place(server.media, token, sentence("goodbye")[0]).stdout
    report = json.loads(said or "{}")
    log = server.log_of_carrier_call(call_id, 10) or {}
    good = (report.get("said") and report.get("replies", 0) >= 2 and report.get("marks", 0) > 0 and
            log.get("protocol") == dialect and log.get("reason") == "the agent said goodbye")
    verdict = "completed" if good else "FAILED"
    print(f"      a call by {dialect}'s protocol with {peer} {verdict}: {said.strip()}")
    return good


def main():
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        config = {"public_url": PUBLIC, "twilio": {"account_sid": "AC1", "auth_token": SECRET},
                  "plivo": {"auth_id": "MA1", "auth_token": SECRET}}
        with Server(folder, config, agent=short_agent(folder)) as server:
            server.start()
            calls = [call(server, *one) for one in CALLS]
            result = node("webhooks.cjs", str(server.media_port), PUBLIC, SECRET)
            print(result.stdout, end="", flush=True)
            ended = server.stop()
    return result.returncode or ended or not all(calls)


if __name__ == "__main__":
    sys.exit(main())
