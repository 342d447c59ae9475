"""rtpengine from Debian as a media relay beside ours: userspace forwarding (no kernel table), calls
set up by its ng protocol (bencode over UDP, an offer and an answer each)."""
import re
import shutil
import socket
import subprocess
import time

from rig.place import LOCAL, SERVER_CORE, beside, permitted, socket_of

NG_PORT, PORT_MIN, PORT_MAX = 22223, 50000, 59998
MISSING = "rtpengine is not installed: tools/setup bench"


def encode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return b"%d:%s" % (len(data), data)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(k) + encode(value[k]) for k in sorted(value)) + b"e"


def decode(data, at=0):
    """The value that begins at `at`, and where it ends."""
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        pairs = dict(zip(items[::2], items[1::2])) if kind == b"d" else items
        return pairs, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end], end


def sdp(port, payload_type, name):
    return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            "m=audio %d RTP/AVP %d\r\na=rtpmap:%d %s/8000\r\na=ptime:20\r\na=sendrecv\r\n"
            % (port, payload_type, payload_type, name))


PCMU, PCMA = (0, "PCMU"), (8, "PCMA")


class Rtpengine:
    """One worker thread on the server's core, ports on loopback alone, no state kept."""

    def __init__(self, folder):
        if not shutil.which("rtpengine"):
            raise FileNotFoundError(MISSING)
        self.log = open(folder / "rtpengine.log", "ab")
        fifo = ["--scheduling=fifo", "--priority=5"] if permitted(["chrt", "-f", "5"]) else []
        self.process = subprocess.Popen(
            beside(SERVER_CORE, False) +
            ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=3",
             "--table=-1", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:%d" % NG_PORT,
             "--port-min=%d" % PORT_MIN, "--port-max=%d" % PORT_MAX, "--num-threads=1",
             "--media-num-threads=1", "--timeout=3600", "--silent-timeout=3600", *fifo],
            stdout=self.log, stderr=self.log)
        self.pid, self.cookie = self.process.pid, 0
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.control.connect(("127.0.0.1", NG_PORT))
        self.control.settimeout(1)
        until = time.monotonic() + 15
        while not self.alive():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise OSError("rtpengine does not start: see its log")
            time.sleep(0.1)

    def alive(self):
        try:
            return self.ask({"command": "ping"}).get(b"result") == b"pong"
        except OSError:
            return False

    def ask(self, words):
        self.cookie += 1
        self.control.send(b"%d %s" % (self.cookie, encode(words)))
        while True:
            cookie, _, answer = self.control.recv(65536).partition(b" ")
            if int(cookie) == self.cookie:
                return decode(answer)[0]

    def port(self, words):
        """Where the party that is given the answer's SDP has to send."""
        answer = self.ask(words)
        found = re.search(rb"m=audio (\d+)", answer.get(b"sdp", b""))
        if not found:
            raise OSError("rtpengine refuses a call: %r" % answer)
        return int(found.group(1))

    def call(self, number, transcode):
        """Sets one call up between two callers of the harness: the ports that they send to."""
        a, b = (LOCAL + 2 * socket_of(2 * number + k) for k in (0, 1))
        words = {"call-id": "bench-%d" % number, "from-tag": "a%d" % number, "ICE": "remove",
                 "rtcp-mux": ["demux"], "replace": ["origin"]}
        offer = {**words, "command": "offer", "sdp": sdp(a, *PCMU)}
        if transcode:
            offer["codec"] = {"mask": ["PCMU"], "transcode": ["PCMA"]}
        to_b = self.port(offer)
        to_a = self.port({**words, "command": "answer", "to-tag": "b%d" % number,
                          "sdp": sdp(b, *(PCMA if transcode else PCMU))})
        return to_a, to_b

    def calls(self, count, transcode):
        """The ports of `count` calls, caller by caller."""
        return [port for number in range(count) for port in self.call(number, transcode)]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.control.close()
        self.log.close()
