"""Two generations of the binary side by side, on the same ports and data: the old one finishes its
call undisturbed, the new one takes every new call, both end in order."""

import argparse
import json
import os
import tempfile
import threading
import time
import urllib.error

from tests.live import wav
from tests.live.caller import WHOLE_CALL, Call, steps_of
from tests.live.peer import CONNECTED, Peer, start, stop
from tests.live.result import Result
from tests.live.server import Server, short_agent

BRIEF = [("what are your opening hours", "rms"), ("goodbye", "rms")]


def generation(call_id):
    return call_id.split("-")[0]


class Knocker(threading.Thread):
    """Keeps knocking at the media port while the generations change: counts who was not let in."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.ended, self.tries, self.failed = port, False, 0, []

    def run(self):
        while not self.ended:
            self.tries += 1
            try:
                peer = Peer(self.port)
                if not peer.open():
                    self.failed.append(f"knock {self.tries}: not upgraded")
                peer.close()
            except OSError as error:
                self.failed.append(f"knock {self.tries}: {error}")
            time.sleep(0.002)

    def finish(self):
        self.ended = True
        self.join(10)


def state_of(folder):
    """Names and inodes of the files in a folder."""
    return {name: os.stat(os.path.join(folder, name)).st_ino for name in os.listdir(folder)}


def ask_api(r, server, times):
    """The API is answered all along, by either."""
    for i in range(times):
        try:
            answer = json.loads(server.get("/health"))
            r.check(answer, f"request {i} during the change was answered {answer}")
        except OSError as error:
            r.check(False, f"request {i} to the API during the change: {error}")


def new_calls(r, server, old, times):
    """Calls placed now are answered, and not by the old one."""
    for i in range(times):
        peer = Peer(server.media_port)
        r.check(peer.begin(f"CAnew{i}"), f"new call {i} was not taken")
        time.sleep(0.3)
        peer.text(stop())
        peer.close()
    begun = server.said("call begins", 20)
    r.check(len(begun) >= times, f"{times} new calls, {len(begun)} begun in the new generation")
    r.check(all(generation(line["call_id"]) != old for line in begun), "an id of the old one")


def rtp_calls(r, server, old, times):
    """Placed by the API while the old one drains: taken, and by the new one."""
    for i in range(times):
        try:
            call = server.post("/calls", {"agent": "clinic",
                                          "rtp": {"peer": "127.0.0.1:9", "codec": "PCMU"}})
            r.check(generation(call["call_id"]) != old, f"RTP call {i} went to the old one")
            server.delete(f"/calls/{call['call_id']}")
        except urllib.error.HTTPError as error:
            r.check(False, f"RTP call {i} was answered {error.code}: {error.read()}")


def check_old_call(r, server, call, call_id):
    whole = call.finish()
    r.check(whole["status"] == "completed", f"the call in the old one: {whole}")
    r.check(all(t["voice_to_voice_ms"] is not None for t in whole["turns"]),
            "a turn in the old one was not answered")
    log = server.call_log(call_id, 30)
    if not r.check(log and log["status"] == "completed", f"its log: {log and log['status']}"):
        return
    r.check(len(log["turns"]) >= len(whole["turns"]), "its log lacks turns")
    path = os.path.join(server.data, log["recording"])
    for fault in wav.header_faults(path):
        r.check(False, f"its recording: {fault}")
    off = wav.seconds(path) - log["duration_seconds"]
    r.check(abs(off) < 0.1, f"its recording is {off:+.3f} s off its length")


def end_old_call(r, new, call_id):
    """The new one cannot end a call of the old one, and says whose it is."""
    try:
        new.delete(f"/calls/{call_id}")
        r.check(False, "the old one's call was ended by the new one")
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        r.check(error.code == 409 and f"generation {generation(call_id)} has" in text,
                f"DELETE of the old one's call: {error.code} {text}")


def change(r, old, new):
    """The change of generations while a call goes on in the old one."""
    call = Call(old, steps_of(WHOLE_CALL))
    begun = old.said("call begins", 20)
    if not r.check(begun, "the first call did not begin"):
        return
    call_id = begun[0]["call_id"]
    time.sleep(1)
    files = state_of(os.path.join(old.data, "journal"))
    knocker = Knocker(old.media_port)
    knocker.start()
    new.start()
    after = state_of(os.path.join(old.data, "journal"))
    r.check(all(after.get(name) == inode for name, inode in files.items()),
            f"the new one touched the old one's journal: {files} {after}")
    time.sleep(0.5)
    old.signal(15)
    ask_api(r, new, 40)
    time.sleep(1)
    knocker.finish()
    r.facts["knocks"], r.facts["knocks_refused"] = knocker.tries, len(knocker.failed)
    r.check(not knocker.failed, f"{len(knocker.failed)} of {knocker.tries} connections during the "
                                f"change failed: {knocker.failed[:3]}")
    new_calls(r, new, generation(call_id), 6)
    r.check(old.process.poll() is None, "the old one did not wait for its call")
    rtp_calls(r, new, generation(call_id), 12)
    end_old_call(r, new, call_id)
    token = new.post("/media-tokens", {"agent": "clinic"})
    r.check(token.get("token"), "no token during the change")
    check_old_call(r, new, call, call_id)
    code = old.wait(60)
    r.check(code == 0, f"the old one ended with {code}: {old.errors()} {old.log()[-2:]}")
    r.check(len(new.journal()) == 2, f"left in the journal: {new.journal()}")
    r.check(not new.said("repaired|stored the log"), "the new one recovered a living call")
    r.facts["old_call"] = call_id


def main():
    argparse.ArgumentParser().parse_args()
    r = Result("generations")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        agent = short_agent(folder)
        with Server(folder, agent=agent, name="old") as old, old.twin("new") as new:
            old.start()
            change(r, old, new)
            last = Call(new, steps_of(BRIEF, 0)).finish()
            r.check(last["status"] == "completed", f"a call in the new one: {last}")
            code = new.stop()
            r.check(code == 0, f"the new one ended with {code}: {new.errors()}")
            r.check(not new.journal(), f"the journal after both: {new.journal()}")
            for server in (old, new):
                wrong = [x["message"] for x in server.log() if x["level"] == "error"]
                r.check(not wrong, f"{server.name} complained: {wrong[:3]}")
                r.check(not server.errors(), f"{server.name}: {server.errors()}")
    r.finish()


if __name__ == "__main__":
    main()
