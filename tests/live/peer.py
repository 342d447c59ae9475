"""A raw peer of the media port: sends any bytes, speaks just enough WebSocket and Twilio to get
where it wants to misbehave."""

import base64
import json
import os
import socket
import struct
import time

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def frame(payload, op=1, fin=True, mask=b"\x11\x22\x33\x44", length=None, rsv=0):
    """One client frame; `mask` None leaves it unmasked, `length` lies about the length."""
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | op])
    masked = 0x80 if mask else 0
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + struct.pack(">H", size)
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    pad = (mask * (len(payload) // 4 + 1))[:len(payload)]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + mask + body.to_bytes(len(payload), "big")


def upgrade(path="/media/clinic", **headers):
    lines = {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
             "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    return (f"GET {path} HTTP/1.1\r\n" +
            "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None) + "\r\n").encode()


CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def start(stream="MZ1", call="CA1", **more):
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": stream, "start": {
        "accountSid": "AC1", "streamSid": stream, "callSid": call, "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {}}, **more})


def media(number, stream="MZ1", payload=b"\xff" * 160, text=True):
    say = str if text else int
    return json.dumps({"event": "media", "sequenceNumber": say(number + 1), "streamSid": stream,
                       "media": {"track": "inbound", "chunk": say(number),
                                 "timestamp": say(number * 20),
                                 "payload": base64.b64encode(payload).decode()}})


def stop(stream="MZ1"):
    return json.dumps({"event": "stop", "sequenceNumber": "9", "streamSid": stream,
                       "stop": {"accountSid": "AC1", "callSid": "CA1"}})


class Peer:
    def __init__(self, port, seconds=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.bytes = b""

    def send(self, data):
        """False if the other side has already gone."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def text(self, *messages):
        return all(self.send(frame(m, mask=os.urandom(4))) for m in messages)

    def head(self):
        """The status of the HTTP answer; 0 if there is none."""
        while b"\r\n\r\n" not in self.bytes:
            if not self.more():
                return 0
        head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        return int(head.split()[1])

    def more(self):
        try:
            got = self.socket.recv(65536)
        except OSError:
            return False
        self.bytes += got
        return bool(got)

    def open(self, path="/media/clinic"):
        """True once upgraded."""
        return self.send(upgrade(path)) and self.head() == 101

    def begin(self, call="CA1", stream="MZ1"):
        """An ordinary call up to its start message."""
        return self.open() and self.text(CONNECTED, start(stream, call))

    def closed_within(self, seconds):
        """How long the other side took to close, or None if it has not."""
        began = time.monotonic()
        while True:
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65536):
                    return time.monotonic() - began
            except TimeoutError:
                return None
            except OSError:
                return time.monotonic() - began

    def close(self):
        self.socket.close()
