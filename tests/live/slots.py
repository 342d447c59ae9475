"""Calls for minutes, half over RTP and half over WebSocket, callers speaking 45 % of the time, the
neural detector on: packets come in time, shards allocate nothing, and everything is given back."""

import argparse
import tempfile
import threading
import time

from tests.live.load import (FIXED, Allocations, Load, held, loaded_server, settled, shard_threads,
                             speech, warm)
from tests.live.result import Result

VIAS = ("rtp", "twilio")
FAULTS_TOLD = 16
UNANSWERED = "a turn was not answered"
UNANSWERED_MOST, UNASKED_MOST = 0.04, 0.001 # of turns
LATE_MOST = 1 # of 100,000 slots more than 5 ms late
TALK = ["--spurt", 2450, "--script-ms", 900 + 40 + 50 + 30]


class Watch(threading.Thread):
    """The shards' allocations each second, and who asked when there was one."""

    def __init__(self, counters, server):
        super().__init__(daemon=True)
        self.counters, self.tids = counters, shard_threads(server)
        self.pid, self.asked = server.process.pid, []
        self.ended, self.seen = threading.Event(), []
        self.start()

    def run(self):
        while not self.ended.wait(1):
            self.seen.append(self.counters.of(self.tids))
            if self.seen[-1] != self.seen[max(0, len(self.seen) - 2)]:
                self.asked.append({"second": len(self.seen) + 10,
                                   "by": self.counters.last(self.pid, self.tids)})


def judge(r, reports, judge_time):
    total = {key: sum(report["steps"][0][key] for report in reports)
             for key in ("slots", "late_slots", "missing_slots", "wrong_audio", "broken_audio",
                         "unasked", "unanswered", "sent", "speech_sent", "calls", "harness_lost")}
    late = (total["late_slots"] + total["missing_slots"]) * 1e5 / max(1, total["slots"])
    r.facts.update(late_slots_per_100k=round(late, 2), speech_share=round(
        total["speech_sent"] / max(1, total["sent"]), 3), **total,
        server_cpu_pct=reports[0]["steps"][0]["server_cpu_pct"],
        turns=sum(x["steps"][0]["turns"] for x in reports),
        lateness_max_us=max((x["steps"][0]["lateness"] or {"max_us": 0})["max_us"]
                            for x in reports),
        harness_send_late_max_us=max(x["steps"][0]["harness_send_late"]["max_us"]
                                     for x in reports))
    if judge_time:
        r.check(late <= LATE_MOST, f"{late:.1f} of 100,000 slots late by over 5 ms or missing")
    r.check(all(x["steps"][0]["response"] for x in reports), "nobody was answered")
    told = [{"via": via, **fault} for via, report in zip(VIAS, reports)
            for fault in report["faults_told"] if fault["what"] != UNANSWERED]
    if told:
        r.facts["faults_told"] = told[:FAULTS_TOLD]
    for key in ("wrong_audio", "broken_audio"):
        r.check(total[key] == 0, f"{key}: {total[key]}")
    # A turn is cut out of sentences anywhere; one that is no more than a breath is not answered,
    # and a detector may take a caller to be done who is not.
    for key, most in (("unanswered", UNANSWERED_MOST), ("unasked", UNASKED_MOST)):
        share = total[key] / max(1, r.facts["turns"])
        r.check(share <= most, f"{key}: {total[key]}, {share:.2%} of the turns")


def run(r, folder, o):
    counters = Allocations(folder)
    with loaded_server(folder, o.calls + 16, "silero", FIXED + counters.prefix) as server:
        warm(folder, server, "silero")
        before, voices = held(server), speech(folder)
        half = [o.calls // 2, o.calls - o.calls // 2]
        loads = [Load(folder, via, server, via, "silero", "--calls", n, "--rate", 100, "--settle",
                      2, "--hold", o.seconds, "--seed", n + i, "--speech", voices, *TALK)
                 for i, (via, n) in enumerate(zip(VIAS, half))]
        time.sleep(10 + max(half) / 100) # from the tenth second with all calls up
        watch = Watch(counters, server)
        time.sleep(max(1, o.seconds - 12))
        watch.ended.set()
        watch.join()
        judge(r, [load.report() for load in loads], not o.any_time)
        grown = watch.seen[-1] - watch.seen[0] if watch.seen else -1
        r.facts.update(allocations=grown, allocation_seconds=len(watch.seen))
        r.check(grown == 0, f"the shards allocated {grown} times from second 10 on: {watch.asked}")
        settled(r, server, before)
        r.check(server.stop() == 0, "the server did not end in order")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=200)
    options.add_argument("--seconds", type=int, default=300)
    options.add_argument("--any-time", action="store_true", help="judge no lateness")
    o = options.parse_args()
    r = Result("slots")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        run(r, folder, o)
    r.finish()


if __name__ == "__main__":
    main()
