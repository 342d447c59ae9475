"""Many short calls, refused ones among them, in batches: afterwards only the roots are left, no
frame is in use, descriptors are as many as before, and the memory no longer grows."""

import argparse
import contextlib
import tempfile
import threading
import time
import urllib.error

from tests.live.peer import CONNECTED, Peer, frame, media, start, stop, upgrade
from tests.live.result import Result
from tests.live.server import Server, short_agent

GROWTH_KB_MAX = 256 # of a batch
SHARDS = 2


def talk(port, number):
    """A call of a second: some frames of silence, then an end of one kind or another."""
    with contextlib.suppress(OSError):
        peer = Peer(port)
        if not peer.begin(f"CAleak{number}"):
            return
        for i in range(20):
            peer.text(media(i + 1))
            time.sleep(0.02)
        if number % 3 == 0:
            peer.text(stop())
        elif number % 3 == 1:
            peer.send(frame(b"\xff\xff", op=8))
        peer.close() # else without a word


def refused(port, number):
    kinds = [lambda p: p.send(upgrade("/media/nobody")), lambda p: p.send(b"nonsense\r\n\r\n"),
             lambda p: p.open() and p.text("{}"), lambda p: p.open(),
             lambda p: p.open("/media/clinic") and p.text(CONNECTED, start(), start()),
             lambda p: p.open("/media/clinic/not.a.token")]
    with contextlib.suppress(OSError):
        peer = Peer(port)
        kinds[number % len(kinds)](peer)
        peer.closed_within(0.2)
        peer.close()


def by_rtp(r, server):
    """A call whose peer never sends a packet, hung up by the API."""
    try:
        call = server.post("/calls", {"agent": "clinic",
                                      "rtp": {"peer": "127.0.0.1:9", "codec": "PCMU"}})
        time.sleep(0.5)
        server.delete(f"/calls/{call['call_id']}")
    except urllib.error.HTTPError as error:
        r.check(False, f"an RTP call was answered {error.code}: {error.read()}")


def batch(r, server, number, calls, at_once):
    jobs = [lambda n=n: talk(server.media_port, n) for n in range(calls)]
    jobs += [lambda n=n: refused(server.media_port, n) for n in range(calls)]
    jobs += [lambda: by_rtp(r, server) for _ in range(calls // 4)]
    for i in range(0, len(jobs), at_once):
        threads = [threading.Thread(target=job) for job in jobs[i:i + at_once]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return settle(r, server, number)


def settle(r, server, number):
    """Waits until only the roots are left; what is in use then."""
    until = time.monotonic() + 15
    while True:
        shards = server.json("/actors")["shards"]
        quiet = all(s["actors_count"] == 2 and s["frames_used"] == 0 for s in shards)
        if quiet or time.monotonic() > until:
            break
        time.sleep(0.2)
    left = [(s["shard"], [a["type"] for a in s["actors"]], s["frames_used"]) for s in shards]
    r.check(quiet, f"batch {number}: left over: {left}")
    time.sleep(0.5)
    found = {"rss_kb": server.rss_kb("RssAnon"), "fds": server.fds(),
             "journal": len(server.journal())}
    r.tell(f"batch {number}: {found}")
    return found


def judge(r, found, settled):
    """The rings between threads are touched for the first time as bytes go through them: only after
    some hundred calls has every page been seen once."""
    later = found[settled:]
    growth = (later[-1]["rss_kb"] - later[0]["rss_kb"]) / max(1, len(later) - 1)
    r.facts.update(rss_kb=[f["rss_kb"] for f in found], fds=[f["fds"] for f in found],
                   growth_kb_per_batch=round(growth, 1))
    r.check(growth <= GROWTH_KB_MAX, f"memory grows by {growth:.0f} KB a batch")
    r.check(len({f["fds"] for f in later}) == 1, f"descriptors: {[f['fds'] for f in found]}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--batches", type=int, default=24)
    options.add_argument("--settled", type=int, default=12, help="batches that only warm up")
    options.add_argument("--calls", type=int, default=40)
    options.add_argument("--at-once", type=int, default=20)
    o = options.parse_args()
    r = Result("leaks")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        # What is touched for the first time grows with the threads: as many on every machine.
        with Server(folder, {"shards": SHARDS}, agent=short_agent(folder)) as server:
            server.start()
            found = [batch(r, server, i + 1, o.calls, o.at_once) for i in range(o.batches)]
            judge(r, found, o.settled)
            active = [v for k, v in server.metrics().items() if "calls_active" in k]
            r.check(active and not any(active), f"calls active in the metrics: {active}")
            r.facts["calls"] = len(server.said("call begins"))
            r.check(r.facts["calls"] >= o.batches * o.calls, f"{r.facts['calls']} calls begun")
            wrong = [x["message"] for x in server.log() if x["level"] == "error"]
            r.check(not wrong, f"errors in the log: {wrong[:3]}")
            r.check(server.stop() == 0, "the server did not end in order")
            r.check(not server.journal(), f"the journal at the end: {server.journal()}")
            r.check(not server.errors(), server.errors())
    r.finish()


if __name__ == "__main__":
    main()
