"""kill -9 in the middle of a call, at random moments: the next start closes the call's log as
interrupted, repairs its recording, and loses nothing that was acknowledged."""

import argparse
import datetime
import hashlib
import json
import os
import random
import re
import tempfile
import time

from tests.live import wav
from tests.live.caller import WHOLE_CALL, Call, steps_of
from tests.live.result import Result
from tests.live.server import Server, short_agent

WINDOW_S = 0.30 # sound that may still be moved by an interruption, a flush, and one frame
SLACK_S = 0.12  # between the kill and the instant it is taken for, on a busy machine


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


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


def check_recording(r, server, log, lasted_s, when):
    path = os.path.join(server.data, log["recording"] or "none")
    if not r.check(os.path.exists(path), f"{when}: no recording {path}"):
        return None
    for fault in wav.header_faults(path):
        r.check(False, f"{when}: {fault}")
    lost = lasted_s - wav.seconds(path)
    r.check(-SLACK_S < lost < WINDOW_S + SLACK_S,
            f"{when}: the recording lacks {lost:.3f} s of {lasted_s:.3f} s")
    r.check(log.get("recording_incomplete") is not True, f"{when}: called incomplete")
    return lost


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


def kill_once(r, server, number, moment_s, kept):
    """One call, killed `moment_s` after it began."""
    when = f"kill {number} at {moment_s:.2f} s"
    server.restart_log()
    server.start()
    check_kept(r, server, kept, when)
    call = Call(server, steps_of(WHOLE_CALL), seed=number)
    begun = server.said("call begins", 5)
    if not r.check(begun, f"{when}: the call did not begin"):
        return None
    call_id, began = begun[0]["call_id"], instant(begun[0]["timestamp"])
    time.sleep(max(0.0, began + moment_s - time.time()))
    answered = call.answered()
    server.kill()
    lasted_s = time.time() - began
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
        lost = check_recording(r, server, log, lasted_s, when)
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
            lost = [kill_once(r, server, i + 1, chance.uniform(0.3, 20), kept)
                    for i in range(o.times)]
    known = [x for x in lost if x is not None]
    r.facts = {"kills": o.times, "seed": o.seed,
               "sound_lost_ms_max": round(1000 * max(known), 0) if known else None}
    r.finish()


if __name__ == "__main__":
    main()
