#!/usr/bin/env python3
"""A tiny agent for tests of the calling program: speaks Twilio's media protocol as a server.

It greets with a tone, waits until the caller has spoken and then been quiet for --endpoint ms, and
answers with a tone after --think ms more. While it is speaking and the caller begins, it stops and
sends `clear`. A pressed digit is answered too. A mark follows every piece of speech. At the end of
each call it prints one JSON line of what it saw; its first line is its port.

Faults (--fault): http-401, http-404, garbage, not-json, wrong-sid, no-mark-object, vanish.
"""
import argparse
import base64
import hashlib
import json
import socket
import struct
import time

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def magnitude(code):
    u = ~code & 0xFF
    return ((((u & 0x0F) << 3) + 0x84) << ((u & 0x70) >> 4)) - 0x84


LOUD = [magnitude(code) for code in range(256)]


def tone(ms, period):
    """Square waves in mu-law: loud from the very first sample."""
    return bytes(0x9F if (i // (period // 2)) % 2 == 0 else 0x1F for i in range(ms * 8))


class Closed(Exception):
    pass


class Socket:
    def __init__(self, conn):
        self.conn, self.buf = conn, b""
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self, until):
        self.conn.settimeout(max(0.0005, until - time.monotonic()))
        try:
            data = self.conn.recv(65536)
        except (socket.timeout, TimeoutError):
            return False
        if not data:
            raise Closed
        self.buf += data
        return True

    def whole_frame(self):
        if len(self.buf) < 2:
            return None
        length, at = self.buf[1] & 0x7F, 2
        if length == 126:
            if len(self.buf) < 4:
                return None
            length, at = struct.unpack(">H", self.buf[2:4])[0], 4
        if len(self.buf) < at + 4 + length:
            return None
        assert self.buf[1] & 0x80, "a client must mask"
        key, body = self.buf[at:at + 4], self.buf[at + 4:at + 4 + length]
        op, self.buf = self.buf[0] & 0x0F, self.buf[at + 4 + length:]
        return op, bytes(b ^ key[i % 4] for i, b in enumerate(body))

    def frame(self, until):
        """One (opcode, payload), or None at the deadline."""
        while True:
            got = self.whole_frame()
            if got:
                return got
            if not self.fill(until) and time.monotonic() >= until:
                return None

    def send(self, op, payload):
        n = len(payload)
        size = struct.pack(">B", n) if n < 126 else struct.pack(">BH", 126, n)
        head = bytes([0x80 | op]) + size
        self.conn.sendall(head + payload)


def upgrade(ws, args):
    """Answers the upgrade request; False when it was refused."""
    while b"\r\n\r\n" not in ws.buf:
        ws.fill(time.monotonic() + 5)
    head, ws.buf = ws.buf.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = {k.strip().lower(): v.strip() for k, v in (l.split(":", 1) for l in lines[1:])}
    path = lines[0].split(" ")[1]
    status = {"http-401": "401 Unauthorized", "http-404": "404 Not Found"}.get(args.fault)
    if args.token and not path.split("?")[0].endswith("/" + args.token):
        status = "401 Unauthorized"
    if args.fault == "garbage":
        ws.conn.sendall(b"220 mail ready\r\n\r\n")
        return False
    if status:
        ws.conn.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        return False
    accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + MAGIC).digest())
    ws.conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return True


class Agent:
    def __init__(self, ws, args):
        self.ws, self.args = ws, args
        self.sid = self.call = None
        self.outgoing = b""  # audio still to be sent
        self.ends = 0.0      # when the caller will have heard all of what was sent
        self.marks_out = self.marks_back = 0
        self.voice = False   # the caller is speaking
        self.quiet_since = self.answer_at = None
        self.replies = self.sequence = 0
        self.seen = {"events": [], "digits": "", "frames": 0, "utterances": 0, "cleared": 0,
                     "sequence_ok": True}

    def say(self):
        self.replies += 1
        self.outgoing += tone(self.args.speak, 16 + 2 * (self.replies % 8))
        self.ends = max(self.ends, time.monotonic())

    def message(self, doc):
        self.ws.send(1, json.dumps(doc).encode())

    def pump(self, now):
        """Sends ahead of real time by at most --lead ms, in pieces of 20 ms, a mark at the end."""
        while self.outgoing and self.ends - now < self.args.lead / 1000:
            piece, self.outgoing = self.outgoing[:160], self.outgoing[160:]
            self.message({"event": "media", "streamSid": self.sid,
                          "media": {"payload": base64.b64encode(piece).decode()}})
            self.ends = max(self.ends, now) + len(piece) / 8000
            if not self.outgoing:
                self.marks_out += 1
                self.message({"event": "mark", "streamSid": self.sid,
                              "mark": {"name": f"m{self.marks_out}"}})

    def interrupted(self, now):
        self.outgoing, self.ends = b"", now
        self.seen["cleared"] += 1
        self.message({"event": "clear", "streamSid": self.sid})

    def hear(self, payload, now):
        self.seen["frames"] += 1
        if sum(LOUD[b] for b in payload) >= 300 * len(payload):
            if not self.voice:
                self.seen["utterances"] += 1
                if self.outgoing or self.ends > now:
                    self.interrupted(now)
            self.voice, self.answer_at, self.quiet_since = True, None, None
        elif self.voice:
            self.quiet_since = self.quiet_since or now
            if now - self.quiet_since >= self.args.endpoint / 1000:
                self.voice, self.answer_at = False, now + self.args.think / 1000

    def fault(self):
        fault = self.args.fault
        if fault == "not-json":
            self.ws.send(1, b"{broken")
        elif fault == "wrong-sid":
            self.message({"event": "media", "streamSid": "MZother", "media": {"payload": "////"}})
        elif fault == "no-mark-object":
            self.message({"event": "mark", "streamSid": self.sid})
        elif fault == "vanish":
            raise Closed

    def take(self, text, now):
        doc = json.loads(text)
        event = doc["event"]
        if event not in self.seen["events"]:
            self.seen["events"].append(event)
        if event != "connected":
            self.sequence += 1
            self.seen["sequence_ok"] &= int(doc["sequenceNumber"]) == self.sequence
        if event == "start":
            self.sid, self.call = doc["start"]["streamSid"], doc["start"]["callSid"]
            self.say()
            self.fault()
        elif event == "media":
            self.hear(base64.b64decode(doc["media"]["payload"]), now)
        elif event == "dtmf":
            self.seen["digits"] += doc["dtmf"]["digit"]
            self.answer_at = now + self.args.think / 1000
        elif event == "mark":
            self.marks_back += 1

    def run(self):
        while True:
            now = time.monotonic()
            if self.answer_at and now >= self.answer_at:
                self.answer_at = None
                self.say()
            self.pump(now)
            enough = self.args.hang_up_after and self.replies > self.args.hang_up_after
            if enough and not self.outgoing and now > self.ends + 0.2:
                self.ws.send(8, struct.pack(">H", 1000))
                return
            got = self.ws.frame(now + 0.002)
            if got and got[0] == 8:
                self.ws.send(8, got[1][:2])
                return
            if got and got[0] == 1:
                self.take(got[1], time.monotonic())


def one_call(conn, args):
    ws, agent = Socket(conn), None
    try:
        if upgrade(ws, args):
            agent = Agent(ws, args)
            agent.run()
    except (Closed, ConnectionError):
        pass
    conn.close()
    if agent:
        agent.seen["marks"] = [agent.marks_out, agent.marks_back]
        agent.seen["call"] = agent.call
        print(json.dumps(agent.seen), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--token", help="the last part of the path must be this")
    p.add_argument("--think", type=int, default=150, help="ms")
    p.add_argument("--endpoint", type=int, default=200, help="ms")
    p.add_argument("--speak", type=int, default=1200, help="ms of each answer")
    p.add_argument("--lead", type=int, default=200, help="ms sent ahead of real time")
    p.add_argument("--hang-up-after", type=int, default=0, help="answers; 0: never")
    p.add_argument("--calls", type=int, default=1)
    p.add_argument("--fault", default="")
    args = p.parse_args()
    listener = socket.create_server(("127.0.0.1", args.port))
    print(listener.getsockname()[1], flush=True)
    for _ in range(args.calls):
        one_call(listener.accept()[0], args)


if __name__ == "__main__":
    main()
