"""The demo over simulated cloud providers with constant delays, seed after seed: how long callers
wait, and how much of that the server adds to what its providers take."""

import argparse
import json
import tempfile
from concurrent import futures

from tests.live.demo import converse
from tests.live.result import Result, percentile

WAIT_P50_MS, OWN_P99_MS = 560, 10
TURNS_LEAST = 100  # fewer have no 99th of 100


def note_call(r, seed, call, found):
    plain = [t for t in call["turns"] if not t["dtmf"] and not t["barge_in"]]
    for turn in plain:
        what = f"seed {seed} \"{turn['meant']['text']}\""
        if not r.check(turn["voice_to_voice_ms"] is not None, f"{what}: no answer"):
            continue
        found["waits"].append(turn["voice_to_voice_ms"])
        if r.check(turn.get("share"), f"{what}: its time cannot be told from the logs"):
            found["shares"].append(turn["share"])
            if turn["share"]["own_ms"] > OWN_P99_MS:
                r.tell(f"  {what}: {json.dumps(turn['share'])}")
    r.tell(f"seed {seed}: {call['status']}, voice to voice "
           f"{[t['voice_to_voice_ms'] for t in plain]}, own "
           f"{[(t.get('share') or {}).get('own_ms') for t in plain]}")


def parts(shares, kind):
    return {name: percentile([s[kind][name] for s in shares], 50) for name in shares[0][kind]}


def conclude(r, found, least):
    own = [s["own_ms"] for s in found["shares"]]
    if not r.check(len(own) >= least, f"{len(own)} turns were measured, {least} are needed"):
        return
    r.facts = {
        "turns": len(own), "voice_to_voice_ms_p50": percentile(found["waits"], 50),
        "own_ms_p50": percentile(own, 50), "own_ms_p99": percentile(own, 99),
        "own_ms_max": max(own), "own_parts_ms_p50": parts(found["shares"], "own"),
        "providers_parts_ms_p50": parts(found["shares"], "providers"),
        "patience_turns": sum(s["patience_ms"] > 0 for s in found["shares"])}
    r.check(r.facts["voice_to_voice_ms_p50"] <= WAIT_P50_MS,
            f"voice to voice: median {r.facts['voice_to_voice_ms_p50']} ms")
    r.check(r.facts["own_ms_p99"] <= OWN_P99_MS, f"own share: p99 {r.facts['own_ms_p99']} ms")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--seeds", type=int, default=16)
    options.add_argument("--parallel", type=int, default=4, help="calls at a time")
    options.add_argument("--turns", type=int, default=TURNS_LEAST, help="that there must be")
    o = options.parse_args()
    r = Result("simulated")
    found = {"waits": [], "shares": []}
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder, \
            futures.ThreadPoolExecutor(o.parallel) as pool:
        seeds = range(o.first, o.first + o.seeds)
        calls = pool.map(lambda seed: converse(seed, folder, "--providers", "simulated"), seeds)
        for seed, call in zip(seeds, calls):
            status = call["status"] if call else "none"
            if r.check(status == "completed", f"seed {seed}: {status}"):
                note_call(r, seed, call, found)
    conclude(r, found, o.turns)
    r.finish()


if __name__ == "__main__":
    main()
