#!/usr/bin/env python3
"""A static RTP peer for tests: places a call to itself over the API, or waits at a port, and talks.

    tests/peers/rtp_peer.py --api http://127.0.0.1:8000 --agent clinic [--say FILE.wav | --tone MS]
                            [--keys 12#] [--seconds 10] [--impair] [--stranger] [--end bye|silence]

Says the WAV (8 kHz mono, 16 bit) or a tone once the agent has been quiet for a second, then the
keys (RFC 4733), then hangs up with an RTCP BYE. Checks everything that comes: version, payload
type, SSRC, sequence, timestamps, cadence, RTCP. --impair loses, swaps and repeats packets;
--stranger floods the agent's port from another socket. Prints one JSON object; exit 1 if a check
failed. Only the standard library is needed.
"""
import argparse
import json
import math
import random
import select
import socket
import struct
import sys
import time
import urllib.request
import wave

SAMPLES = 160


def mulaw(sample):
    sign, value = (0x80, -sample) if sample < 0 else (0, sample)
    value = min(value, 32635) + 132
    exponent = value.bit_length() - 8
    return ~(sign | exponent << 4 | value >> (exponent + 3) & 0x0F) & 0xFF


def loudness(payload):
    """Mean magnitude of mu-law bytes."""
    total = 0
    for code in payload:
        u = ~code & 0xFF
        total += ((((u & 0x0F) << 3) + 0x84) << (u >> 4 & 7)) - 0x84
    return total / max(1, len(payload))


def speech(options):
    if options.say:
        with wave.open(options.say) as f:
            assert (f.getframerate(), f.getnchannels(), f.getsampwidth()) == (8000, 1, 2)
            raw = f.readframes(f.getnframes())
        samples = struct.unpack("<%dh" % (len(raw) // 2), raw)
    else:
        samples = [int(9000 * math.sin(2 * math.pi * 400 * i / 8000))
                   for i in range(options.tone * 8)]
    code = bytes(mulaw(s) for s in samples)
    code += b"\xff" * (-len(code) % SAMPLES)
    return [code[i:i + SAMPLES] for i in range(0, len(code), SAMPLES)]


class Receiver:
    """What comes, and what is wrong with it."""

    def __init__(self):
        self.faults, self.packets, self.last, self.ssrc = [], 0, None, None
        self.markers, self.talkspurts, self.reports, self.bye, self.cname = 0, 0, 0, False, None
        self.sr_packets, self.lost_seen, self.loud_at, self.loud_packets = None, None, 0.0, 0
        self.gaps, self.arrived, self.quiet_run = [], None, 99

    def fault(self, text):
        if len(self.faults) < 20:
            self.faults.append(text)

    def take(self, data, now):
        if len(data) > 1 and 192 <= data[1] <= 223:
            return self.take_rtcp(data)
        if len(data) != 12 + SAMPLES or data[0] != 0x80:
            return self.fault("not a plain packet of 20 ms: %d bytes" % len(data))
        _, pt, seq, stamp, ssrc = struct.unpack("!BBHII", data[:12])
        if pt & 0x7F:
            self.fault("payload type %d" % (pt & 0x7F))
        marker = pt >> 7
        if self.last is None:
            self.ssrc = ssrc
            if not marker:
                self.fault("no marker on the first packet")
        else:
            if seq != (self.last[0] + 1) & 0xFFFF:
                self.fault("sequence %d after %d" % (seq, self.last[0]))
            step = (stamp - self.last[1]) & 0xFFFFFFFF
            if step != SAMPLES and not (marker and step % SAMPLES == 0 and step < 1 << 24):
                self.fault("timestamp goes on by %d" % step)
            self.gaps.append(now - self.arrived)
        if ssrc != self.ssrc:
            self.fault("another SSRC")
        self.markers += marker
        self.last, self.arrived, self.packets = (seq, stamp), now, self.packets + 1
        if loudness(data[12:]) > 100:
            self.talkspurts += self.quiet_run > 25
            self.loud_at, self.loud_packets, self.quiet_run = now, self.loud_packets + 1, 0
        else:
            self.quiet_run += 1

    def take_rtcp(self, data):
        at, first = 0, True
        while at < len(data):
            flags, kind, words = struct.unpack("!BBH", data[at:at + 4])
            body = data[at + 4:at + 4 + words * 4]
            if len(body) != words * 4 or flags >> 6 != 2 or (first and kind not in (200, 201)):
                return self.fault("RTCP that does not add up")
            if struct.unpack("!I", body[:4])[0] != self.ssrc:
                self.fault("RTCP of another SSRC")
            if kind == 200:
                self.sr_packets = struct.unpack("!I", body[16:20])[0]
                body = body[20:]
            if kind in (200, 201) and flags & 31:
                block = body[-24:]
                self.lost_seen = struct.unpack("!I", b"\0" + block[5:8])[0]
            elif kind == 202:
                self.cname = body[6:6 + body[5]].decode("ascii", "replace")
            self.bye |= kind == 203
            at, first = at + 4 + words * 4, False
        self.reports += 1


class Sender:
    def __init__(self, sock, to, options):
        self.sock, self.to, self.impair = sock, to, options.impair
        self.rand = random.Random(options.seed)
        self.ssrc = self.rand.getrandbits(32)
        self.seq, self.stamp = self.rand.getrandbits(16), self.rand.getrandbits(32)
        self.held, self.sent, self.dropped, self.first = None, 0, 0, True

    def datagram(self, payload, pt, marker, stamp):
        head = struct.pack("!BBHII", 0x80, pt | (0x80 if marker else 0), self.seq, stamp, self.ssrc)
        self.seq = (self.seq + 1) & 0xFFFF
        self.sent += 1
        return head + payload

    def put(self, data):
        chance = self.rand.random() if self.impair else 1
        if chance < 0.03:
            self.dropped += 1
        elif chance < 0.08 and self.held is None:
            self.held = data
            return
        else:
            self.sock.sendto(data, self.to)
            if chance < 0.12:
                self.sock.sendto(data, self.to)
        if self.held:
            self.sock.sendto(self.held, self.to)
            self.held = None

    def audio(self, payload):
        self.put(self.datagram(payload, 0, self.first, self.stamp))
        self.stamp, self.first = (self.stamp + SAMPLES) & 0xFFFFFFFF, False

    def digit(self, key, n, last):
        """Packet n of a digit; its timestamp is that of its begin."""
        event = "0123456789*#ABCD".index(key)
        body = struct.pack("!BBH", event, (0x80 if last else 0) | 10, (n + 1) * SAMPLES)
        self.put(self.datagram(body, 101, n == 0, self.stamp))

    def rtcp(self, bye=False):
        data = struct.pack("!BBHI", 0x80, 201, 1, self.ssrc)
        data += struct.pack("!BBHI", 0x81, 202, 3, self.ssrc) + b"\x01\x04peer\0\0"
        if bye:
            data += struct.pack("!BBHI", 0x81, 203, 1, self.ssrc)
        self.sock.sendto(data, self.to)


def place(options, sock):
    body = {"agent": options.agent,
            "rtp": {"peer": "127.0.0.1:%d" % sock.getsockname()[1], "codec": "PCMU"}}
    request = urllib.request.Request(options.api + "/calls", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        placed = json.load(answer)
    host, port = placed["rtp"]["local"].rsplit(":", 1)
    return placed["call_id"], (host, int(port))


def script(options):
    """What leaves in each 20 ms: ("audio", bytes) or ("digit", key, n, last); None: silence."""
    for packet in speech(options):
        yield ("audio", packet)
    for _ in range(50):
        yield None
    for key in options.keys:
        for n in range(8):
            yield ("digit", key, n, n >= 5)
        for _ in range(5):
            yield None


def flood(sock, to, rand):
    """A stranger: nonsense and well-formed packets, from a socket of its own."""
    for _ in range(10):
        junk = bytes(rand.getrandbits(8) for _ in range(rand.randrange(200)))
        sock.sendto(junk, to)
        sock.sendto(struct.pack("!BBHII", 0x80, 0, rand.getrandbits(16), 0, 7) + b"\x11" * 160, to)
        sock.sendto(struct.pack("!BBHIBBHI", 0x80, 201, 1, 7, 0x81, 203, 1, 7), to)


def talk(options, sock, sender, receiver, stranger):
    started = due = time.monotonic()
    next_report, lines, waiting = started + 2, script(options), True
    while time.monotonic() - started < options.seconds and not receiver.bye:
        due += 0.02
        while (left := due - time.monotonic()) > 0:
            if select.select([sock], [], [], left)[0]:
                receiver.take(sock.recv(2048), time.monotonic())
        now = time.monotonic()
        waiting = waiting and not (receiver.loud_packets and now - receiver.loud_at > 1)
        step = None if waiting else next(lines, None)
        if step and step[0] == "digit":
            sender.digit(*step[1:])
            if step[3] and step[2] == 7:
                sender.stamp = (sender.stamp + 8 * SAMPLES) & 0xFFFFFFFF
        else:
            sender.audio(step[1] if step else b"\xff" * SAMPLES)
        if stranger:
            flood(stranger, sender.to, sender.rand)
        if now > next_report:
            sender.rtcp()
            next_report = now + 5


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", default="http://127.0.0.1:8000")
    parser.add_argument("--agent", default="clinic")
    parser.add_argument("--say")
    parser.add_argument("--tone", type=int, default=1200)
    parser.add_argument("--keys", default="")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--impair", action="store_true")
    parser.add_argument("--stranger", action="store_true")
    parser.add_argument("--end", choices=["bye", "silence"], default="bye")
    options = parser.parse_args()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if options.stranger else None
    call_id, local = place(options, sock)
    sender, receiver = Sender(sock, local, options), Receiver()
    if local[1] % 2:
        receiver.fault("an odd RTP port")
    talk(options, sock, sender, receiver, stranger)
    early = receiver.bye
    if options.end == "bye" and not early:
        sender.rtcp(bye=True)
        until = time.monotonic() + 1
        while not receiver.bye and time.monotonic() < until:
            if select.select([sock], [], [], 0.1)[0]:
                receiver.take(sock.recv(2048), time.monotonic())
        if not receiver.bye:
            receiver.fault("no BYE in answer to ours")
    gaps = sorted(receiver.gaps)
    print(json.dumps({
        "call_id": call_id, "local": "%s:%d" % local, "sent": sender.sent,
        "dropped": sender.dropped, "received": receiver.packets, "markers": receiver.markers,
        "talkspurts": receiver.talkspurts, "loud": receiver.loud_packets,
        "gap_ms": {"p50": round(gaps[len(gaps) // 2] * 1000, 1),
                   "p99": round(gaps[len(gaps) * 99 // 100] * 1000, 1),
                   "max": round(gaps[-1] * 1000, 1)} if gaps else None,
        "reports": receiver.reports, "sr_packets": receiver.sr_packets,
        "lost_seen": receiver.lost_seen, "cname": receiver.cname, "bye": receiver.bye,
        "ended_by_agent": early, "faults": receiver.faults}))
    return 1 if receiver.faults or not receiver.packets else 0


if __name__ == "__main__":
    sys.exit(main())
