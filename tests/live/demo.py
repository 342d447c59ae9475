"""Whole conversations of the demo, seed after seed: is every call completed, is what callers mean
understood at the first attempt, and how long do they wait?"""

import argparse
import json
import os
import subprocess
import tempfile
from concurrent import futures

from tests.live.latency import AUDIBLE_MS, MAX_MS, MEDIAN_MS, VOICED_MAX_MS, VOICED_MEDIAN_MS
from tests.live.result import Result, median

KNOWN_PERCENT, HELDOUT_PERCENT = 90, 75
CALL_S = 600


def converse(seed, folder, *options):
    """The demo's JSON object, or None."""
    command = ["tools/demo", "--once", "--json", "--no-setup", "--seed", str(seed), "--dir",
               os.path.join(folder, str(seed)), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_S, check=False)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        print(done.stderr, flush=True)
        return None


def is_right(turn):
    understood = turn["understood"]
    return bool(understood) and all(understood[k] == turn["meant"][k] for k in ("intent", "slots"))


def note_times(r, turn, found):
    """Voice to voice of plain turns; the ledger against what the caller knows, of all."""
    waited, ledger = turn["voice_to_voice_ms"], turn["ledger"] or {}
    if waited is not None:
        kind = "dtmf" if turn["dtmf"] else "barge_in" if turn["barge_in"] else "spoken"
        found[kind].append(waited)
    if turn["answer_at_ms"] is not None and ledger.get("first_audible_ms") is not None:
        found["audible"].append(abs(ledger["first_audible_ms"] - turn["answer_at_ms"]))
    if not turn["dtmf"] and turn["said_to_ms"] is not None and \
            ledger.get("last_voiced_ms") is not None:
        off = ledger["last_voiced_ms"] - turn["said_to_ms"]
        found["voiced"].append(abs(off))
        if abs(off) > VOICED_MAX_MS:
            r.tell(f"  last voiced {off:+d} ms: \"{turn['meant']['text']}\"")


def note_call(r, seed, call, found, score):
    row = {"known": [0, 0], "heldout": [0, 0]}
    for turn in call["turns"]:
        note_times(r, turn, found)
        if turn["set"] not in row:
            continue
        good = is_right(turn)
        row[turn["set"]][0] += good
        row[turn["set"]][1] += 1
        if not good:
            r.tell(f"  not as meant ({turn['set']}): \"{turn['meant']['text']}\" heard as "
                   f"\"{turn['heard']}\", understood {json.dumps(turn['understood'])}")
    waits = [t["voice_to_voice_ms"] for t in call["turns"] if not t["barge_in"] and not t["dtmf"]]
    r.tell(f"seed {seed} ({call['voice']}): {call['status']}, known {row['known'][0]} of "
           f"{row['known'][1]}, set aside {row['heldout'][0]} of {row['heldout'][1]}, voice to "
           f"voice {waits}")
    for name, (good, count) in row.items():
        score[name][0] += good
        score[name][1] += count


def percent(pair):
    return round(100 * pair[0] / pair[1], 1) if pair[1] else None


def conclude(r, found, score, statuses, relaxed):
    spoken = found["spoken"]
    known, heldout = percent(score["known"]), percent(score["heldout"])
    r.facts = {
        "calls": len(statuses), "statuses": {s: statuses.count(s) for s in sorted(set(statuses))},
        "known_percent": known, "known": score["known"], "heldout_percent": heldout,
        "heldout": score["heldout"], "turns": len(spoken), "median_ms": median(spoken),
        "max_ms": max(spoken, default=None),
        "ledger_audible_ms_max": max(found["audible"], default=None),
        "ledger_voiced_ms_median": median(found["voiced"]),
        "ledger_voiced_ms_max": max(found["voiced"], default=None),
        "barge_in_ms": found["barge_in"], "dtmf_ms": found["dtmf"]}
    if not r.check(spoken and known is not None, "no turn was measured"):
        return
    r.check(known >= KNOWN_PERCENT, f"known sentences: {known} % understood as meant")
    if heldout is not None:
        r.check(heldout >= HELDOUT_PERCENT, f"sentences set aside: {heldout} % understood as meant")
    if relaxed:
        return
    r.check(median(spoken) <= MEDIAN_MS, f"voice to voice: median {median(spoken)} ms")
    r.check(max(spoken) <= MAX_MS, f"voice to voice: maximum {max(spoken)} ms")
    r.check(max(found["audible"]) <= AUDIBLE_MS,
            f"first audible: maximum {max(found['audible'])} ms from the caller's")
    r.check(median(found["voiced"]) <= VOICED_MEDIAN_MS,
            f"last voiced: median {median(found['voiced'])} ms from the caller's")
    r.check(max(found["voiced"]) <= VOICED_MAX_MS,
            f"last voiced: maximum {max(found['voiced'])} ms from the caller's")


def rounds(first, last, size):
    """Seeds that call at the same time."""
    return [range(at, min(at + size, last + 1)) for at in range(first, last + 1, size)]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--parallel", type=int, default=1, help="calls at a time")
    options.add_argument("--protocol", default="twilio")
    options.add_argument("--relaxed", action="store_true", help="do not judge any time")
    o = options.parse_args()
    r = Result("demo")
    found = {key: [] for key in ("spoken", "barge_in", "dtmf", "audible", "voiced")}
    score, statuses = {"known": [0, 0], "heldout": [0, 0]}, []
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder, \
            futures.ThreadPoolExecutor(o.parallel) as pool:
        for seeds in rounds(o.first, o.first + o.seeds - 1, o.parallel):
            calls = pool.map(lambda seed: converse(seed, folder, "--protocol", o.protocol), seeds)
            for seed, call in zip(seeds, calls):
                statuses.append(call["status"] if call else "none")
                r.check(statuses[-1] == "completed", f"seed {seed}: {statuses[-1]}")
                if call:
                    note_call(r, seed, call, found, score)
    conclude(r, found, score, statuses, o.relaxed)
    r.finish()


if __name__ == "__main__":
    main()
