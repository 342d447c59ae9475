"""WebSocket upgrades at three times the rate at which the server first refuses: it completes as
many calls as at its best, says no at once, and the calls that go on do not notice."""

import argparse
import tempfile

from tests.live.load import FIXED, Load, loaded_server
from tests.live.result import Result

GOODPUT_LEAST = 0.95
REFUSAL_MS_MAX = 5
CALL_MS = 2000


def churn(folder, server, name, rates, o):
    load = Load(folder, name, server, "twilio", "load", "--calls", o.steady, "--churn",
                ",".join(map(str, rates)), "--churn-ms", CALL_MS, "--settle", 0, "--hold",
                o.seconds, "--rate", 100)
    return load.report()


def goodput(step):
    return step["completed"] / step["seconds"]


def first_refusal(report):
    """The rate of the first window in which somebody was refused; the best goodput until then."""
    best = 0
    for step in report["steps"]:
        best = max(best, goodput(step))
        if step["refused"]:
            return step["rate"], best
    return None, best


def judge(r, step, best, any_time):
    share = goodput(step) / best
    late = step["refusal"] or {"p50_us": 0, "p99_us": 0, "max_us": 0}
    r.facts.update(goodput=round(goodput(step), 1), share=round(share, 3), refused=step["refused"],
                   refusal_p50_ms=late["p50_us"] / 1000, refusal_p99_ms=late["p99_us"] / 1000,
                   refusal_max_ms=late["max_us"] / 1000, server_cpu_pct=step["server_cpu_pct"],
                   late_slots_per_100k=step["late_slots_per_100k"],
                   harness_cpu_pct=step["harness_cpu_pct"])
    r.check(step["refused"] > 0, "nobody was refused")
    r.check(share >= GOODPUT_LEAST, f"goodput is {share:.1%} of the best")
    for key in ("wrong_audio", "broken_audio", "unanswered", "unasked"):
        r.check(step[key] == 0, f"{key} under overload: {step[key]}")
    if not any_time:
        r.check(late["p99_us"] <= REFUSAL_MS_MAX * 1000,
                f"refusals take {late['p99_us'] / 1000:.1f} ms (p99)")
        r.check(step["late_slots_per_100k"] <= 100,
                f"{step['late_slots_per_100k']} of 100,000 slots late for calls that go on")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--places", type=int, default=200, help="calls that the server takes")
    options.add_argument("--steady", type=int, default=40, help="calls that are held meanwhile")
    options.add_argument("--seconds", type=int, default=8, help="of each rate")
    options.add_argument("--any-time", action="store_true", help="judge no lateness")
    o = options.parse_args()
    o.seconds += o.seconds * 1000 % CALL_MS // 1000 # calls come in waves: whole ones are counted
    r = Result("overload")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        with loaded_server(folder, o.places, prefix=FIXED) as server:
            free = (o.places - o.steady) * 1000 // CALL_MS
            found = churn(folder, server, "search",
                          [free * share // 100 for share in (70, 85, 95, 105, 120)], o)
            rate, best = first_refusal(found)
            r.facts.update(first_refusal_rate=rate, best_goodput=round(best, 1))
            if r.check(rate is not None, "no rate was refused"):
                step = churn(folder, server, "overload", [3 * rate], o)
                judge(r, step["steps"][0], best, o.any_time)
                r.facts["notes"] = step["notes"]
                r.check(not step["notes"], f"calls went wrong: {step['notes']}")
            r.check(server.stop() == 0, "the server did not end in order")
    r.finish()


if __name__ == "__main__":
    main()
