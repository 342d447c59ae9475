"""While calls go on, a shard makes no system call but io_uring_enter, seen by strace."""

import argparse
import collections
import os
import signal
import subprocess
import tempfile
import time

from tests.live.load import FIXED, Load, loaded_server, shard_threads, speech
from tests.live.result import Result
from tests.live.slots import TALK

ALLOWED = "io_uring_enter"


def traced(folder, tids, seconds):
    """Names and numbers of the system calls of these threads."""
    path = os.path.join(folder, "strace")
    who = [word for tid in tids for word in ("-p", str(tid))]
    strace = subprocess.Popen(["strace", "-qq", "-o", path, *who])
    time.sleep(seconds)
    strace.send_signal(signal.SIGINT)
    strace.wait()
    found = collections.Counter()
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split(None, 1)
            text = words[1] if words and words[0].isdigit() else line
            if "(" in text and not text.startswith(("---", "+++", "<...")):
                found[text.split("(")[0]] += 1
    return found


def run(r, folder, o):
    with loaded_server(folder, o.calls + 16, "silero", FIXED) as server:
        voices = speech(folder)
        half = [o.calls // 2, o.calls - o.calls // 2]
        loads = [Load(folder, via, server, via, "silero", "--calls", n, "--rate", 100, "--hold",
                      o.seconds + 16, "--speech", voices, *TALK)
                 for via, n in zip(("rtp", "twilio"), half)]
        time.sleep(10 + max(half) / 100)
        found = traced(folder, shard_threads(server), o.seconds)
        reports = [load.report() for load in loads]
        r.facts.update(calls=sum(x["steps"][0]["calls"] for x in reports), seen=dict(found))
        r.facts["turns"] = sum(x["steps"][0]["turns"] for x in reports)
        r.check(r.facts["calls"] == o.calls, f"{r.facts['calls']} of {o.calls} calls were up")
        r.check(r.facts["turns"] > o.calls, f"only {r.facts['turns']} turns were spoken")
        r.check(found[ALLOWED] > 0, "strace saw nothing")
        others = {name: n for name, n in found.items() if name != ALLOWED}
        r.check(not others, f"other system calls: {others}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=200)
    options.add_argument("--seconds", type=int, default=20)
    r = Result("strace")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        run(r, folder, options.parse_args())
    r.finish()


if __name__ == "__main__":
    main()
