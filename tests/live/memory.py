"""What a call takes, by the server's own account and by /proc; and tens of thousands of short
calls, refused ones among them: memory does not grow with them, and a second identical batch ends
within 1 MiB of the first."""

import argparse
import os
import tempfile
import threading
import time

from tests.live.load import FIXED, Load, held, loaded_server, settled, warm
from tests.live.result import Result

BETWEEN_BATCHES_KB = 1024
SLOPE_KB_MAX = 128 # between the second quarter of a batch and its end: 13 bytes a call
CALLS_MAX = 120
OWN_BYTES_MAX, RSS_BYTES_MAX = 24 * 1024, 40 * 1024 # of one call


class Memory(threading.Thread):
    """Resident memory each second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended, self.kb = server, threading.Event(), []
        self.start()

    def run(self):
        while not self.ended.wait(1):
            self.kb.append(self.server.rss_kb())


def own_bytes(server):
    """What the server says of its own state, all kinds of it."""
    return sum(value for name, value in server.metrics().items()
               if name.split("{")[0] == "sidetone_own_bytes")


def one_call(r, folder, o):
    """So many calls at one time, over RTP and then over WebSocket, each on a fresh server."""
    for via in ("rtp", "twilio"):
        place = os.path.join(folder, via)
        os.mkdir(place)
        with loaded_server(place, o.held + 16, prefix=FIXED) as server:
            warm(place, server)
            before = own_bytes(server)
            load = Load(place, via, server, via, "load", "--calls", o.held, "--rate", 200,
                        "--settle", 2, "--hold", 10)
            time.sleep(o.held / 200 + 8)
            own = (own_bytes(server) - before) / o.held
            step = load.report()["steps"][0]
            rss = step["rss_bytes_per_call"]
            r.tell(f"{via}: {step['calls']} calls, {own:.0f} own bytes and {rss} of RSS for each")
            r.facts.update({f"{via}_own_bytes": round(own), f"{via}_rss_bytes": rss})
            r.check(step["calls"] == o.held, f"{via}: {step['calls']} of {o.held} calls were up")
            r.check(0 < own <= OWN_BYTES_MAX, f"{via}: a call has {own:.0f} bytes of its own")
            r.check(0 < rss <= RSS_BYTES_MAX, f"{via}: a call makes RSS grow by {rss} bytes")
            r.check(server.stop() == 0, f"{via}: the server did not end in order")


def mean(values):
    return sum(values) / max(1, len(values))


def batch(r, folder, server, before, number, o):
    """Two kinds of callers at once, a little faster than the server has places."""
    memory = Memory(server)
    seconds = max(4, o.calls // (2 * o.rate))
    loads = [Load(folder, f"{via}{number}", server, via, "load", "--calls", 0, "--churn", o.rate,
                  "--churn-ms", o.last_ms, "--settle", 0, "--hold", seconds, "--seed", 7)
             for via in ("rtp", "twilio")]
    reports = [load.report() for load in loads]
    steps = [report["steps"][0] for report in reports]
    memory.ended.set()
    memory.join()
    settled(r, server, before, what=f"batch {number}")
    quarter = len(memory.kb) // 4
    slope = mean(memory.kb[-quarter:]) - mean(memory.kb[quarter:2 * quarter])
    found = {key: sum(s[key] for s in steps)
             for key in ("begun", "admitted", "refused", "completed", "held_back")}
    found.update(slope_kb=round(slope), rss_kb=server.rss_kb(),
                 notes=[report["notes"] for report in reports])
    r.tell(f"batch {number}: {found}")
    r.check(found["refused"] > 0, f"batch {number}: nobody was refused")
    r.check(found["completed"] > 0, f"batch {number}: no call was completed")
    r.check(found["begun"] >= o.calls * 9 // 10, f"batch {number}: {found['begun']} calls begun")
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=20000, help="of one batch")
    options.add_argument("--rate", type=int, default=100, help="begun per second, of each kind")
    options.add_argument("--last-ms", type=int, default=700)
    options.add_argument("--held", type=int, default=1000, help="at one time, for what one takes")
    o = options.parse_args()
    r = Result("memory")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        one_call(r, folder, o)
        with loaded_server(folder, CALLS_MAX, prefix=FIXED) as server:
            warm(folder, server)
            before = held(server)
            found = [batch(r, folder, server, before, i, o) for i in (1, 2)]
            growth = found[1]["rss_kb"] - found[0]["rss_kb"]
            r.facts.update(batches=found, growth_kb=growth)
            r.check(growth <= BETWEEN_BATCHES_KB, f"a second batch left {growth} KB more")
            r.check(found[1]["slope_kb"] <= SLOPE_KB_MAX,
                    f"memory rose by {found[1]['slope_kb']} KB within a batch")
            r.check(server.stop() == 0, "the server did not end in order")
    r.finish()


if __name__ == "__main__":
    main()
