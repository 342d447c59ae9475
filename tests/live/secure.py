"""A whole call by wss, the API by https, and a certificate that is renewed while calls go on.

The calling program speaks plain WebSocket: a tunnel of the test's own goes to the server by TLS and
believes only the authority made here."""

import argparse
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

from tests.live.caller import Call, sentence
from tests.live.result import Result
from tests.live.server import Server


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Authority:
    """Makes certificates for 127.0.0.1, each with a serial number of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.path, self.key = self.at("authority.pem"), self.at("authority.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.path, "-subj", "/CN=authority", "-days", "1")

    def at(self, name):
        return os.path.join(self.folder, name)

    def issue(self, serial):
        request, made, extra = self.at("request"), self.at("new.pem"), self.at("extra")
        with open(extra, "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.at("new.key"), "-out", request, "-subj", "/CN=server")
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key, "-set_serial",
                str(serial), "-days", "1", "-extfile", extra, "-out", made)
        os.replace(self.at("new.key"), self.at("server.key"))
        os.replace(made, self.at("server.pem"))


class Tunnel:
    """Plain on this side, TLS towards the server."""

    def __init__(self, port, context):
        self.port, self.context = port, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def media(self):
        return f"ws://127.0.0.1:{self.listener.getsockname()[1]}/media/clinic"

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            secure = self.context.wrap_socket(
                socket.create_connection(("127.0.0.1", self.port)), server_hostname="127.0.0.1")
            threading.Thread(target=self.carry, args=(plain, secure), daemon=True).start()
            threading.Thread(target=self.carry, args=(secure, plain), daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def serial(port, context):
    """Of the certificate that this port shows to a new connection."""
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5),
                             server_hostname="127.0.0.1") as s:
        return int(s.getpeercert()["serialNumber"], 16)


def refuses_plain(port):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        s.settimeout(5)
        try:
            return b"200 OK" not in s.recv(4096)
        except OSError:
            return True


def call(r, tunnel, path):
    report = Call(tunnel, ["--say", path]).finish()
    r.check(report["status"] == "completed", f"the call was {report}")
    r.check(report["turns"] and report["turns"][0]["voice_to_voice_ms"] is not None,
            "the caller was not answered")


def renewed(r, server, authority, context):
    ports = {"media": server.media_port, "api": server.api_port}
    for number in (2, 3):
        authority.issue(number)
        server.restart_log()
        server.signal(signal.SIGHUP)
        r.check(server.said("certificate from ", 20), "nothing is said of the new certificate")
        for name, port in ports.items():
            until = time.monotonic() + 20
            while (shown := serial(port, context)) != number and time.monotonic() < until:
                time.sleep(0.05)
            r.check(shown == number, f"{name} shows certificate {shown}, not {number}")
    with open(authority.at("server.pem"), "w", encoding="ascii") as file:
        file.write("no certificate\n")
    server.signal(signal.SIGHUP)
    r.check(server.said("the certificate before it stays", 20), "a bad file was not complained of")
    for name, port in ports.items():
        r.check(serial(port, context) == 3, f"{name} lost its certificate to a bad file")


def run(r, folder):
    authority = Authority(folder)
    authority.issue(1)
    both = {"tls_certificate": authority.at("server.pem"), "tls_key": authority.at("server.key")}
    context = ssl.create_default_context(cafile=authority.path)
    with Server(folder, {"api": both, "media": both}) as server:
        server.start()
        r.check(server.said("media on wss://.*API on https://"), "the ready line says otherwise")
        url = f"https://127.0.0.1:{server.api_port}/health"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            r.check(answer.status == 200, f"health by https: {answer.status}")
        for port in (server.api_port, server.media_port):
            r.check(refuses_plain(port), f"port {port} answers without TLS")
        tunnel = Tunnel(server.media_port, context)
        path, _ = sentence("goodbye")
        call(r, tunnel, path)
        renewed(r, server, authority, context)
        call(r, tunnel, path)
        tunnel.close()
        r.check(server.stop() == 0, "the server did not end in order")
        r.check(not server.errors(), server.errors())


def main():
    argparse.ArgumentParser().parse_args()
    r = Result("tls")
    if r.check(shutil.which("openssl"), "openssl is missing"):
        with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
            run(r, folder)
    r.finish()


if __name__ == "__main__":
    main()
