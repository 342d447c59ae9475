#!/usr/bin/env python3
"""Twilio's and Plivo's own validators against the server: do they agree on which webhooks are
genuine? tools/get-peers has fetched them. Run from the root: python3 -m tests.peers.sdk.webhooks"""
import os
import subprocess
import sys
import tempfile

from tests.live.server import ROOT, Server, short_agent

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(ROOT, "build", "peers")
PUBLIC = "https://voice.example.com"
SECRET = "0123456789abcdef0123456789abcdef"


def main():
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        config = {"public_url": PUBLIC, "twilio": {"account_sid": "AC1", "auth_token": SECRET},
                  "plivo": {"auth_id": "MA1", "auth_token": SECRET}}
        with Server(folder, config, agent=short_agent(folder)) as server:
            server.start()
            result = subprocess.run(
                ["node", os.path.join(HERE, "webhooks.cjs"), str(server.media_port), PUBLIC,
                 SECRET], timeout=120, env={
                     "PATH": os.environ["PATH"], "HOME": PEERS,
                     "NODE_PATH": os.path.join(PEERS, "node", "node_modules")})
            ended = server.stop()
    return result.returncode or ended


if __name__ == "__main__":
    sys.exit(main())
