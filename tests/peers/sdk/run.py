#!/usr/bin/env python3
"""Runs the vendors' own clients against the simulated providers.

    tests/peers/sdk/run.py BUILD_FOLDER

tools/get-peers has fetched the clients. A simulated server for each language; the tests get an
empty environment, so that no real key is picked up. Ends with one line, exit 0 if all passed."""
import json
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PEERS = os.path.join(ROOT, "build", "peers")
LANGUAGE_S = 600


def first_line(process):
    line = process.stdout.readline()
    if not line:
        raise SystemExit("the simulated providers did not start")
    return json.loads(line)["ready"]


def clean(**more):
    return {"PATH": os.environ["PATH"], "HOME": PEERS, "LC_ALL": "C.UTF-8", **more}


def asked(log):
    """The requests of each service, from the log of what was asked."""
    counts = {}
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["event"] == "request":
                counts[entry["service"]] = counts.get(entry["service"], 0) + 1
    return counts


def run(build, name, command, env, folder):
    log = os.path.join(folder, name + ".log")
    server = subprocess.Popen(
        [os.path.join(build, "sidetone-providers"), "--config",
         os.path.join(HERE, "providers.yaml"), "--log", log],
        stdout=subprocess.PIPE, text=True)
    try:
        address = first_line(server)
        result = subprocess.run(command + [address], env=env, text=True, timeout=LANGUAGE_S,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired as e:
        print(e.stdout.decode() if isinstance(e.stdout, bytes) else e.stdout or "")
        raise SystemExit(f"{name}: not finished within {LANGUAGE_S} s")
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    print(result.stdout, end="", flush=True)
    if code != 0:
        raise SystemExit(f"{name}: the simulated providers ended with {code}")
    counts = asked(log)
    print(f"      {name}: {sum(counts.values())} requests to {len(counts)} services")
    last = (result.stdout.strip().splitlines() or ["nothing was said"])[-1]
    return result.returncode == 0, f"{name} {last}"


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    build = os.path.abspath(sys.argv[1])
    if not os.path.exists(os.path.join(PEERS, "stamp")):
        raise SystemExit("the clients are not there: run tools/get-peers")
    python = os.path.join(PEERS, "python")
    with tempfile.TemporaryDirectory(prefix="sidetone-peers-") as folder:
        done = [
            run(build, "python",
                [sys.executable, "-B", "-W", "ignore", os.path.join(HERE, "sdk_python.py")],
                clean(PYTHONPATH=python), folder),
            run(build, "node", ["node", os.path.join(HERE, "sdk_node.cjs")],
                clean(NODE_PATH=os.path.join(PEERS, "node", "node_modules")), folder),
        ]
    print("the vendors' clients: " + "; ".join(text for _, text in done))
    return 0 if all(ok for ok, _ in done) else 1


if __name__ == "__main__":
    sys.exit(main())
