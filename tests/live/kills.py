"""kill -9 in the middle of a call, at random moments: the next start closes the call's log as
interrupted, repairs its recording, and loses nothing that was acknowledged."""

import argparse
import datetime
import hashlib
import json
import os
import random
import re
import signal
import tempfile
import threading
import time

from tests.live import wav
from tests.live.caller import WHOLE_CALL, Call, steps_of
from tests.live.result import Result
from tests.live.server import Server, short_agent

FRAME_S = 0.02  # what a kill may cost
CLOCK_S = 0.01  # rounding of the instant in the log, and the way of the signal
AHEAD_S = 0.05  # the recording begins up to a slot before that instant, and ends with a whole frame
END_S = 0.24    # this much of the sound was in the window when it happened
LOUD = 400


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Witness:
    """How late the machine wakes somebody who asked for 2 ms: what is not delivered to a server
    that is not woken cannot be in its recording."""

    def __init__(self):
        self.late = []
        self.on = True
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while self.on:
            before = time.monotonic()
            time.sleep(0.002)
            self.late.append((before, time.monotonic() - before - 0.002))

    def finish(self):
        """The worst of the last half second."""
        self.on = False
        self.thread.join()
        return max((late for at, late in self.late if at > self.late[-1][0] - 0.5), default=0.0)


def keep(server, log):
    """Everything a call left behind, to be compared later."""
    files = [os.path.join(server.data, log[key]) for key in ("recording", "transcript_file")]
    return {"log": log, "files": {path: digest(path) for path in files}}


def check_kept(r, server, kept, when):
    for old in kept:
        call_id = old["log"]["call_id"]
        r.check(server.call_log(call_id) == old["log"], f"{when}: the log of {call_id} has changed")
        for path, was in old["files"].items():
            r.check(os.path.exists(path) and digest(path) == was, f"{when}: {path} has changed")


def check_recording(r, server, log, lasted_s, late_s, when):
    path = os.path.join(server.data, log["recording"] or "none")
    if not r.check(os.path.exists(path), f"{when}: no recording {path}"):
        return None
    for fault in wav.header_faults(path):
        r.check(False, f"{when}: {fault}")
    lost = lasted_s - wav.seconds(path)
    r.check(-AHEAD_S - late_s < lost < FRAME_S + CLOCK_S + late_s,
            f"{when}: the recording lacks {lost:.3f} s of {lasted_s:.3f} s, "
            f"while the machine was up to {late_s:.3f} s late")
    r.check(log.get("recording_incomplete") is not True, f"{when}: called incomplete")
    return lost


def check_end(r, server, log, record, when):
    """The last sound before the kill is the caller's, not silence of the right length. Returns
    whether there was any to compare."""
    theirs = wav.mono_8k(os.path.join(server.data, log["recording"]))
    if not r.check(os.path.exists(record), f"{when}: the caller has no recording"):
        return False
    ours, size = wav.mono_8k(record), int(END_S * 8000)
    at = len(theirs) - size - 160
    loud = sum(max(map(abs, theirs[i:i + 80])) > LOUD for i in range(max(0, at), len(theirs), 80))
    heard = sum(max(map(abs, ours[i:i + 80]), default=0) > LOUD
                for i in range(max(0, at), len(theirs), 80))
    if at < 0 or heard < 12: # half of it
        return False
    lag, like = wav.lag_ms(theirs, ours, at, size, 80)
    return r.check(loud and like > 0.5, f"{when}: the last {END_S} s are not what the caller has "
                   f"(likeness {like:.2f} at {lag:+.1f} ms, {loud} of {heard} loud)")


def check_turns(r, log, lines, answered, when):
    """By two witnesses: the killed server's own log, and the caller who heard the answers."""
    turns = {turn["turn"]: turn for turn in log["turns"]}
    for line in lines:
        found = re.search(r"turn (\d+): voice to voice (-?\d+) ms", line["message"])
        if found and r.check(int(found[1]) in turns, f"{when}: turn {found[1]} is lost"):
            turn = turns[int(found[1])]
            r.check(turn.get("voice_to_voice_ms") == int(found[2]) and turn.get("said"),
                    f"{when}: turn {found[1]} lacks its ledger or words: {turn}")
    heard = [line for line in log["transcript"] if line["role"] in ("user", "keys")]
    r.check(len(heard) >= answered,
            f"{when}: {answered} turns were answered, {len(heard)} are in the log")
    return len(heard)


def check_transcript(r, server, log, when):
    with open(os.path.join(server.data, log["transcript_file"]), encoding="utf-8") as file:
        transcript = json.load(file)
    r.check(transcript["status"] == "interrupted" and
            transcript["transcript"] == log["transcript"],
            f"{when}: the transcript file is not the log's")


def kill_once(r, server, number, moment_s, kept, compared):
    """One call, killed `moment_s` after it began."""
    when = f"kill {number} at {moment_s:.2f} s"
    server.restart_log()
    server.start()
    check_kept(r, server, kept, when)
    record = os.path.join(server.folder, f"caller-{number}.wav")
    call = Call(server, steps_of(WHOLE_CALL), seed=number, record=record)
    begun = server.said("call begins", 20)
    if not r.check(begun, f"{when}: the call did not begin"):
        return None
    call_id, began = begun[0]["call_id"], instant(begun[0]["timestamp"])
    witness = Witness()
    time.sleep(max(0.0, began + moment_s - time.time()))
    answered = call.answered()
    server.signal(signal.SIGKILL)
    lasted_s = time.time() - began
    late_s = witness.finish()
    server.kill()
    call.finish(20)
    lines = [line for line in server.log_of_process() if line.get("call_id") == call_id]
    over = any("call ends" in line["message"] for line in lines)

    server.restart_log()
    server.start()
    r.check(len(server.journal()) == 2, f"{when}: left in the journal: {server.journal()}")
    log = server.call_log(call_id)
    if not r.check(log, f"{when}: {call_id} has no log"):
        return None
    turns = check_turns(r, log, lines, answered, when)
    if not over:
        r.check(log["status"] == "interrupted", f"{when}: status {log['status']}")
        check_transcript(r, server, log, when)
        lost = check_recording(r, server, log, lasted_s, late_s, when)
        if lost is not None and check_end(r, server, log, record, when):
            compared.append(number)
        r.tell(f"{when}: {call_id} interrupted, {turns} turns kept, {answered} answered, "
               f"{'no recording' if lost is None else f'{1000 * lost:.0f} ms of sound lost'}")
    else:
        lost = 0.0
        r.tell(f"{when}: {call_id} had ended, its log is {log['status']}")
    kept.append(keep(server, log))
    r.check(server.stop() == 0, f"{when}: the next server did not end in order")
    return lost


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--times", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    o = options.parse_args()
    r = Result("kills")
    chance = random.Random(o.seed)
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        agent = short_agent(folder)
        with Server(folder, agent=agent) as server:
            server.start()
            whole = Call(server, steps_of([("goodbye", "rms")]), seed=0).finish()
            r.check(whole["status"] == "completed", f"the call before all kills: {whole}")
            kept = [keep(server, server.log_of_carrier_call(whole["call_id"]))]
            r.check(kept[0]["log"]["status"] == "completed", "its log is not completed")
            server.stop()
            compared = []
            lost = [kill_once(r, server, i + 1, chance.uniform(0.3, 20), kept, compared)
                    for i in range(o.times)]
    known = [x for x in lost if x is not None]
    r.facts = {"kills": o.times, "seed": o.seed,
               "ends_compared": len(compared),
               "sound_lost_ms_max": round(1000 * max(known), 0) if known else None}
    r.finish()


if __name__ == "__main__":
    main()
