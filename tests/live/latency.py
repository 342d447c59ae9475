"""How long callers wait: measured by the calling program, compared with the server's ledger, and
both recordings of the same call laid against each other."""

import argparse
import os
import tempfile
import time
from concurrent import futures

from tests.live import wav
from tests.live.caller import Call, steps_of
from tests.live.result import Result, median
from tests.live.server import Server

MEDIAN_MS, MAX_MS = 500, 800
AUDIBLE_MS = 30                       # the ledger's first audible sample against the caller's
VOICED_MEDIAN_MS, VOICED_MAX_MS = 40, 120
ALIGNED_MS = 20
APART_S = 2.5 # calls at one time begin one after the other, as callers do
RELAXED_MS = 150 # for recordings alone, where the machine may be busy with something else

CALLS = [
    [("what are your opening hours", "rms"), ("how do i get to you", "kal16"), "1",
     ("where are you located", "awb"), ("can you repeat that please", "kal"), ("goodbye", "rms")],
    [("i would like to book an appointment", "awb"), ("on tuesday", "rms"), ("at ten", "kal16"),
     ("yes please", "rms"), ("when are you open", "kal"), ("thank you goodbye", "awb")],
    [("i need to cancel my appointment", "kal16"), ("what are your opening hours", "awb"), "2",
     ("i want to speak to a person", "rms"), ("goodbye", "kal16")],
]


def turn_of(theirs, ours):
    """The server's turn that answered this one of the caller's: the nearest first sound."""
    known = [t for t in ours if t.get("ledger") and t["ledger"]["first_audible_ms"] is not None]
    if theirs["answer_at_ms"] is None or not known:
        return None
    return min(known, key=lambda t: abs(t["ledger"]["first_audible_ms"] - theirs["answer_at_ms"]))


def compare_turn(r, theirs, ours, what, found, judge):
    if not r.check(ours, f"{what}: the server has no such turn"):
        return
    audible = ours["ledger"]["first_audible_ms"] - theirs["answer_at_ms"]
    found["audible"].append(abs(audible))
    r.check(abs(audible) <= AUDIBLE_MS or not judge,
            f"{what}: first audible {audible} ms from the caller's")
    voiced = ours["ledger"]["last_voiced_ms"]
    if theirs["dtmf"]:
        found["dtmf"].append(theirs["voice_to_voice_ms"])
        return
    if r.check(voiced is not None, f"{what}: the ledger has no last voiced sample"):
        found["voiced"].append(abs(voiced - theirs["said_to_ms"]))
    kind = "barge_in" if theirs["barge_in"] else "spoken"
    found[kind].append(theirs["voice_to_voice_ms"])
    r.tell(f"{what}: voice to voice {theirs['voice_to_voice_ms']} ms, the ledger's "
           f"{ours['voice_to_voice_ms']} ms; first audible {audible:+d} ms, last voiced "
           f"{voiced - theirs['said_to_ms'] if voiced is not None else 0:+d} ms"
           f"{', barge-in' if theirs['barge_in'] else ''}")


def align(r, server_wav, caller_wav, what, found, judge):
    """The first and the last second in which there is sound, in both recordings."""
    ours, theirs = wav.mono_8k(caller_wav), wav.mono_8k(server_wav)
    first, last = wav.sound_ends(ours)
    if not r.check(first is not None, f"{what}: the recording is silent"):
        return
    for name, at in (("first", first), ("last", max(first, last - 8000))):
        ms, like = wav.lag_ms(ours, theirs, at)
        found["aligned"].append(abs(ms))
        r.check(abs(ms) <= (ALIGNED_MS if judge else RELAXED_MS) and like > 0.5,
                f"{what}: the {name} second is {ms:+.1f} ms off (likeness {like:.2f})")
        r.tell(f"{what}: {name} second {ms:+.2f} ms, likeness {like:.2f}")


def place(r, server, record, number, steps, protocol):
    """What the calling program says of one whole call."""
    call = Call(server, steps, protocol=protocol, record=record, seed=number).finish()
    r.tell(f"call {number} is over: {call['status']}, {len(call['turns'])} turns")
    return call


def judge_call(r, server, call, record, number, found, judge):
    what = f"call {number}"
    if not r.check(call["status"] == "completed", f"{what}: {call['status']} {call.get('error')}"):
        return
    log = server.log_of_carrier_call(call["call_id"], 30)
    if not r.check(log, f"{what}: no log of {call['call_id']}"):
        return
    for turn in call["turns"]:
        label = f"{what} turn {turn['turn']}"
        if r.check(turn["voice_to_voice_ms"] is not None, f"{label}: no answer"):
            compare_turn(r, turn, turn_of(turn, log["turns"]), label, found,
                         judge)
    align(r, os.path.join(server.data, log["recording"]), record, what, found, judge)


def conclude(r, found, judge):
    spoken = found["spoken"]
    r.facts = {
        "turns": len(spoken), "median_ms": median(spoken), "max_ms": max(spoken, default=None),
        "ledger_audible_ms_max": max(found["audible"], default=None),
        "ledger_voiced_ms_median": median(found["voiced"]),
        "ledger_voiced_ms_max": max(found["voiced"], default=None),
        "aligned_ms_max": max(found["aligned"], default=None),
        "barge_in_ms": found["barge_in"], "dtmf_ms": found["dtmf"]}
    if not r.check(spoken, "no turn was measured"):
        return
    if not judge:
        return
    r.check(median(spoken) <= MEDIAN_MS, f"median {median(spoken)} ms")
    r.check(max(spoken) <= MAX_MS, f"maximum {max(spoken)} ms")
    if found["voiced"]:
        r.check(median(found["voiced"]) <= VOICED_MEDIAN_MS,
                f"last voiced: median {median(found['voiced'])} ms")
        r.check(max(found["voiced"]) <= VOICED_MAX_MS,
                f"last voiced: maximum {max(found['voiced'])} ms")


def run(r, server, folder, calls, protocol="twilio", judge=True, parallel=1):
    """Places `calls` calls, so many at a time, and judges them all when the last is over: laying
    recordings beside each other takes the processor from those that still go on."""
    found = {key: [] for key in ("spoken", "barge_in", "dtmf", "audible", "voiced", "aligned")}
    numbers = range(1, calls + 1)
    steps = [steps_of(CALLS[(number - 1) % len(CALLS)]) for number in numbers]
    records = [os.path.join(folder, f"caller-{number}.wav") for number in numbers]
    with futures.ThreadPoolExecutor(parallel) as pool:
        placed = []
        for number in numbers:
            placed.append(pool.submit(place, r, server, records[number - 1], number,
                                      steps[number - 1], protocol))
            if number < parallel:
                time.sleep(APART_S)
        whole = [call.result() for call in placed]
    for number, call in zip(numbers, whole):
        judge_call(r, server, call, records[number - 1], number, found, judge)
    conclude(r, found, judge)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=6)
    options.add_argument("--parallel", type=int, default=1, help="calls at a time")
    options.add_argument("--protocol", default="twilio")
    options.add_argument("--relaxed", action="store_true", help="do not judge any time")
    o = options.parse_args()
    r = Result("latency" if o.protocol == "twilio" else o.protocol)
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder, Server(folder) as server:
        server.start()
        run(r, server, folder, o.calls, o.protocol, not o.relaxed, o.parallel)
        r.check(server.stop() == 0, "the server did not end in order")
    r.finish()


if __name__ == "__main__":
    main()
