"""Hostile things said to the media port and the API of a living server, while good calls go
on: each ends its own call alone, with a line in the log, and costs little."""

import argparse
import json
import socket
import tempfile
import threading
import time

from tests.live.caller import WHOLE_CALL, Call, steps_of
from tests.live.peer import CONNECTED, Peer, frame, media, start, stop, upgrade
from tests.live.result import Result
from tests.live.server import Server, short_agent

UNKNOWN_S = 5.0     # whoever has not said who it is by then is closed
LATE_S = 4.0        # and so much later at most, on a busy machine
AT_ONCE_S = 4.0     # for what was said, that is, and not for those five seconds' silence
TOLD_S = 10.0       # until a line in the log is read by us
SOCKET_KB_MAX = 64

BIG = "x" * 100000

# Sent before any upgrade: name, bytes, expected status (0: closed without an answer).
HTTP = [
    ("garbage", b"\x00\x01\x02\x03\xff\xfe hello\r\n\r\n", {0, 400}),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, {0, 400}),
    ("no such path", upgrade("/nowhere"), {404}),
    ("no such agent", upgrade("/media/nobody"), {404}),
    ("a path that climbs", upgrade("/media/../../etc/passwd"), {404, 400}),
    ("a token that is none", upgrade("/media/clinic/AAAA.BBBB"), {401}),
    ("an old version", upgrade(Sec_WebSocket_Version="8"), {400, 426}),
    ("a short key", upgrade(Sec_WebSocket_Key="abc"), {400}),
    ("no key", upgrade(Sec_WebSocket_Key=None), {400}),
    ("no Host", upgrade(Host=None), {400}),
    ("a line too long", b"GET /media/" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", {414, 431, 400}),
    ("too many headers", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n", {431}),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
     b"Content-Length: 2\r\n\r\nab", {400}),
    ("a folded header", b"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", {400}),
    ("NUL in a header", b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", {400}),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400, 405, 505}),
    ("plain GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {404, 426}),
]


# Sent after the upgrade: name, what to do with the peer, and whether a call begins before it.
WEBSOCKET = [
    ("an unmasked frame", lambda p: p.send(frame(CONNECTED, mask=None)), False),
    ("a reserved bit", lambda p: p.send(frame(CONNECTED, rsv=4)), False),
    ("an unknown opcode", lambda p: p.send(frame("x", op=5)), False),
    ("bad UTF-8", lambda p: p.send(frame(b'{"event":"\xff\xfe\xc0"}')), False),
    ("a huge length", lambda p: p.send(frame(b"", length=1 << 62)), False),
    ("a negative length", lambda p: p.send(frame(b"", length=(1 << 64) - 1)), False),
    ("a long control frame", lambda p: p.send(frame("x" * 200, op=9)), False),
    ("a cut control frame", lambda p: p.send(frame("x", op=9, fin=False)), False),
    ("a continuation of nothing", lambda p: p.send(frame("x", op=0)), False),
    ("a message in a message",
     lambda p: p.send(frame('{"ev', fin=False) + frame(CONNECTED)), False),
    ("a close with one byte", lambda p: p.send(frame(b"\x03", op=8)), False),
    ("a close with a wrong code", lambda p: p.send(frame(b"\x00\x01", op=8)), False),
    ("an oversized message", lambda p: p.text(json.dumps({"event": "connected", "x": BIG})), False),
    ("endless fragments",
     lambda p: p.send(frame('{"event":"connected","x":"', fin=False) +
                      frame("y" * 1000, op=0, fin=False) * 100), False),
    ("no JSON", lambda p: p.text("hello"), False),
    ("binary first", lambda p: p.send(frame(b"\x00" * 320, op=2)), False),
    ("a list", lambda p: p.text("[1,2,3]"), False),
    ("deep JSON", lambda p: p.text('{"event":' + "[" * 2000 + "]" * 2000 + "}"), False),
    ("media before start", lambda p: p.text(CONNECTED, media(1)), False),
    ("stop before start", lambda p: p.text(CONNECTED, stop()), False),
    ("a start without its parts",
     lambda p: p.text(CONNECTED, json.dumps({"event": "start", "streamSid": "MZ1"})), False),
    ("an unknown encoding", lambda p: p.text(CONNECTED, json.dumps(
        {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1",
         "mediaFormat": {"encoding": "audio/opus", "sampleRate": 48000, "channels": 2}}})), False),
    ("an id too long", lambda p: p.text(CONNECTED, start(stream="M" * 500)), False),
    ("connected twice, then start twice",
     lambda p: p.text(start()), True),
    ("payload that is no base64", lambda p: p.text(json.dumps(
        {"event": "media", "streamSid": "MZ1", "media": {"payload": "###"}})), True),
    ("media without payload", lambda p: p.text(json.dumps(
        {"event": "media", "streamSid": "MZ1", "media": {}})), True),
    ("media of another stream", lambda p: p.text(media(1, stream="MZ2")), True),
    ("a digit that is none", lambda p: p.text(json.dumps(
        {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "Q"}})), True),
    ("half a message, then gone", lambda p: p.send(frame(media(1))[:40]) and
     p.socket.shutdown(socket.SHUT_WR) is None, True),
    ("bad UTF-8 in mid-call", lambda p: p.send(frame(b'{"event":"\xff"}')), True),
    ("an unmasked frame in mid-call", lambda p: p.send(frame("x", mask=None)), True),
    ("media out of order", lambda p: p.text(media(9), media(3)), True),
    ("garbage in mid-call", lambda p: p.send(b"\xff" * 5000), True),
]

# Harmless, though strange: the call goes on.
TOLERATED = [
    ("unknown events", lambda p: p.text(
        json.dumps({"event": "weather", "rain": [1, {"a": None}]}))),
    ("unknown fields", lambda p: p.text(
        json.dumps(dict(json.loads(media(1)), more={"x": [1, 2]})))),
    ("numbers as integers", lambda p: p.text(media(2, text=False))),
    ("a gap in the chunks", lambda p: p.text(media(3))),
    ("a message in fragments", lambda p: all(
        p.send(part) for part in (frame(media(4)[:30], fin=False), frame(b"", op=9),
                                  frame(media(4)[30:60], op=0, fin=False),
                                  frame(media(4)[60:], op=0)))),
    ("one byte at a time", lambda p: all(p.send(bytes([b])) for b in frame(media(5)))),
    ("a mark never sent", lambda p: p.text(json.dumps(
        {"event": "mark", "streamSid": "MZ1", "mark": {"name": "never"}}))),
    ("a pong unasked", lambda p: p.send(frame("x", op=10))),
    ("many samples at once", lambda p: p.text(media(6, payload=b"\xff" * 1600))),
]


def told(server, since):
    """Whether the log got a line about a peer since then."""
    until = time.monotonic() + TOLD_S
    while time.monotonic() < until:
        for line in server.log()[since:]:
            if any(word in line["message"] for word in
                   ("was answered", "turned away", "a peer left", "the leg ended")):
                return True
        time.sleep(0.02)
    return False


def try_http(r, server):
    for name, data, expected in HTTP:
        since, peer = len(server.log()), Peer(server.media_port)
        peer.send(data)
        status = peer.head()
        r.check(status in expected, f"{name}: answered {status}")
        closed = peer.closed_within(AT_ONCE_S) is not None
        r.check(closed or status == 0, f"{name}: still open")
        r.check(told(server, since), f"{name}: no line in the log")
        peer.close()


def try_one(r, server, name, act, in_call, wait_s):
    since, peer = len(server.log()), Peer(server.media_port)
    ready = peer.begin() if in_call else peer.open()
    if not r.check(ready, f"{name}: not upgraded"):
        return
    time.sleep(wait_s)
    act(peer)
    took = peer.closed_within(UNKNOWN_S + LATE_S)
    r.check(took is not None and took < AT_ONCE_S, f"{name}: closed after {took}")
    r.check(told(server, since), f"{name}: no line in the log")
    peer.close()


def try_websocket(r, server):
    """What strikes in a call is tried while it is being set up, and when it is up."""
    for name, act, in_call in WEBSOCKET:
        try_one(r, server, name, act, in_call, 0)
        if in_call:
            try_one(r, server, f"{name}, later", act, True, 0.15)


def try_origin(r, server):
    """A page may bring its token in its first message; without one it gets nothing, and not for
    long."""
    before = len(server.said("call begins"))
    for name, act, most_s in (
            ("starts", lambda p: p.text(CONNECTED, start()), AT_ONCE_S),
            ("sends sound", lambda p: p.send(frame(b"\x00" * 320, op=2)), AT_ONCE_S),
            ("asks with a wrong token", lambda p: p.text(json.dumps(
                {"type": "auth", "token": "AAAA.BBBB"})), AT_ONCE_S),
            ("says nothing", lambda p: None, UNKNOWN_S + LATE_S)):
        since, peer = len(server.log()), Peer(server.media_port)
        peer.send(upgrade(Origin="http://evil.example"))
        r.check(peer.head() == 101, f"a page without token that {name}: not upgraded")
        act(peer)
        took = peer.closed_within(UNKNOWN_S + LATE_S)
        r.check(took is not None and took < most_s,
                f"a page without token that {name}: closed after {took}")
        r.check(told(server, since), f"a page without token that {name}: no line in the log")
        peer.close()
    r.check(len(server.said("call begins")) == before, "a page without token got a call")


def try_tolerated(r, server):
    peer = Peer(server.media_port)
    r.check(peer.begin("CAtolerated"), "the tolerated call did not begin")
    for name, act in TOLERATED:
        r.check(act(peer), f"{name}: closed at once")
        r.check(peer.closed_within(0.3) is None, f"{name}: the call was ended")
    peer.text(stop())
    took = peer.closed_within(UNKNOWN_S + LATE_S)
    r.check(took is not None, "stop did not end the tolerated call")


def try_slow(r, server):
    """Headers a byte at a time, and an upgraded socket that says nothing."""
    slow, silent = Peer(server.media_port), Peer(server.media_port)
    r.check(silent.open(), "the silent one was not upgraded")
    began, data = time.monotonic(), upgrade()
    took = None
    for byte in data[:100]: # of 150: it never ends
        slow.send(bytes([byte]))
        took = slow.closed_within(0.1) # the answer is read too
        if took is not None:
            break
    r.check(took is not None and time.monotonic() - began < UNKNOWN_S + LATE_S,
            f"slow headers: open after {time.monotonic() - began:.1f} s")
    r.check(silent.closed_within(LATE_S) is not None,
            f"silent after the upgrade: open after {time.monotonic() - began:.1f} s")


def try_idle(r, server, count):
    """Sockets that never say who they are: half of them upgraded, half not even that."""
    before = server.rss_kb()
    began = time.monotonic()
    peers = [Peer(server.media_port) for _ in range(count)]
    for peer in peers[::2]:
        peer.send(upgrade())
    time.sleep(1)
    grown = server.rss_kb() - before
    late = 0.0
    for peer in peers:
        took = peer.closed_within(max(0.05, began + UNKNOWN_S + LATE_S + 1 - time.monotonic()))
        r.check(took is not None, "an idle socket is still open")
        late = max(late, time.monotonic() - began)
        peer.close()
    r.facts.update(idle_sockets=count, idle_kb_each=round(grown / count, 1),
                   idle_closed_s=round(late, 2))
    r.check(grown / count <= SOCKET_KB_MAX, f"an idle socket costs {grown / count:.1f} KB")
    r.check(late <= UNKNOWN_S + LATE_S + 1, f"idle sockets were closed after {late:.1f} s")


API = [
    ("garbage", b"\x00\xff\x00\xff\r\n\r\n"),
    ("a huge header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100000 +
     b"\r\n\r\n"),
    ("a length that lies", b"POST /calls HTTP/1.1\r\nHost: localhost\r\n"
     b"Content-Length: 99999999999\r\n\r\n{"),
    ("no JSON", b"POST /calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"),
    ("deep JSON", b"POST /calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n" +
     b"[" * 4000),
    ("an id that climbs", b"GET /call-logs/..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("a name made to lead here", b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ("an upgrade", upgrade("/actors")),
    ("chunks", b"POST /calls HTTP/1.1\r\nHost: localhost\r\n"
     b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\nx"),
]


def try_api(r, server):
    for name, data in API:
        peer = Peer(server.api_port, 3)
        peer.send(data)
        status = peer.head()
        r.check(status == 0 or 400 <= status < 500, f"API, {name}: answered {status}")
        peer.close()
    r.check(json.loads(server.get("/health")), "the API no longer answers")


class GoodCalls(threading.Thread):
    """One good call after the other, however long the bad ones take on this machine."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended, self.reports = server, False, []
        self.start()

    def run(self):
        steps = steps_of(WHOLE_CALL)
        while not self.ended:
            self.reports.append(Call(self.server, steps).finish())

    def finish(self, r):
        """The last one is complete too."""
        self.ended = True
        self.join()
        r.facts["good_calls"] = len(self.reports)
        for whole in self.reports:
            r.check(whole["status"] == "completed" and
                    all(t["voice_to_voice_ms"] is not None for t in whole["turns"]),
                    f"a good call: {whole}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--idle", type=int, default=500)
    o = options.parse_args()
    r = Result("bad-input")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        with Server(folder, agent=short_agent(folder)) as server:
            server.start()
            good = GoodCalls(server)
            r.check(server.said("call begins", 20), "the good call did not begin")
            slow = threading.Thread(target=try_slow, args=(r, server))
            slow.start()
            for attempt in (try_http, try_websocket, try_origin, try_tolerated, try_api):
                attempt(r, server)
            slow.join()
            try_idle(r, server, o.idle)
            good.finish(r)
            wrong = [x["message"] for x in server.log() if x["level"] == "error"]
            r.check(not wrong, f"errors in the log: {wrong[:3]}")
            r.check(server.stop() == 0, "the server did not end in order")
            r.check(not server.errors(), server.errors())
    r.facts.update(http=len(HTTP), websocket=len(WEBSOCKET), tolerated=len(TOLERATED), api=len(API))
    r.finish()


if __name__ == "__main__":
    main()
