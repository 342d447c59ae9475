"""What carriers ask and tell over HTTP: answered only with a signature that fits, with XML that
puts the call onto a media socket; what they tell of a call stands in its log. By plain HTTP, as
behind a proxy, and over the server's own certificate."""

import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import shutil
import socket
import ssl
import tempfile
import threading
import urllib.error
import urllib.parse
import xml.etree.ElementTree as xml

from tests.live.caller import Call, steps_of
from tests.live.result import Result
from tests.live.secure import Authority, Tunnel, refuses_plain
from tests.live.server import Server, short_agent

PUBLIC = "https://voice.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
FORM = "application/x-www-form-urlencoded"


def keyed(hash_name, text):
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hash_name).digest()).decode()


def twilio_headers(target, fields):
    return {"X-Twilio-Signature": keyed(
        hashlib.sha1, PUBLIC + target + "".join(k + v for k, v in sorted(fields.items())))}


def plivo_headers(target, fields):
    path, _, query = target.partition("?")
    text = PUBLIC + path + ("?" if query or fields else "") + query
    text += ("." if query and fields else "")
    text += "".join(k + v for k, v in sorted(fields.items()))
    return {"X-Plivo-Signature-V3-Nonce": "77", "X-Plivo-Signature-V3": keyed(
        hashlib.sha256, text + ".77")}


def vobiz_headers(target, _):
    return {"X-Vobiz-Signature-V3-Nonce": "77", "X-Vobiz-Signature-V3": keyed(
        hashlib.sha256, PUBLIC + target.partition("?")[0] + ".77")}


SIGN = {"twilio": twilio_headers, "plivo": plivo_headers, "vobiz": vobiz_headers}


class Secured:
    """A server whose media port speaks TLS, for those who know its authority."""

    def __init__(self, server, authority):
        self.server = server
        self.context = ssl.create_default_context(cafile=authority.path)

    def __getattr__(self, name):
        return getattr(self.server, name)


def connection_to(server):
    if isinstance(server, Secured):
        return http.client.HTTPSConnection("127.0.0.1", server.media_port, timeout=10,
                                           context=server.context)
    return http.client.HTTPConnection("127.0.0.1", server.media_port, timeout=10)


def ask(server, target, fields=None, headers=None, method="POST"):
    """Status and body of one request to the media port."""
    body = urllib.parse.urlencode(fields or {}) if method == "POST" else None
    connection = connection_to(server)
    connection.request(method, target, body, {"Content-Type": FORM, **(headers or {})})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def signed(server, carrier, target, fields, method="POST"):
    headers = SIGN[carrier](target, fields if method == "POST" else {})
    return ask(server, target, fields, headers, method)


def media_of(r, carrier, text, what):
    """The media URL and the token that an answer names."""
    root = xml.fromstring(text)
    if carrier == "twilio":
        stream = root.find("./Connect/Stream")
        if not r.check(stream is not None, f"{what}: no stream in {text!r}"):
            return None, None
        tokens = [p.get("value") for p in stream if p.get("name") == "token"]
        return stream.get("url"), tokens[0] if tokens else None
    stream = root.find("./Stream")
    if not r.check(stream is not None, f"{what}: no stream in {text!r}"):
        return None, None
    url, _, token = (stream.text or "").rpartition("/")
    return url, token


def signatures(r, server):
    cases = [("twilio", "/twilio/voice?agent=clinic", {"CallSid": "CA1", "To": "+15550002",
                                                       "From": "+15550001"}),
             ("plivo", "/plivo/answer?agent=clinic", {"CallUUID": "u-1", "Event": "StartApp",
                                                      "To": "15550002", "From": "15550001"}),
             ("vobiz", "/answer?agent_id=clinic", {"CallUUID": "u-2", "Event": "StartApp"}),
             ("vobiz", "/vobiz/answer?agent=clinic", {"CallUUID": "u-3"})]
    for carrier, target, fields in cases:
        what = f"{carrier} {target}"
        status, text = signed(server, carrier, target, fields)
        if r.check(status == 200, f"{what}: {status} {text}"):
            url, token = media_of(r, carrier, text, what)
            r.check(url == "wss://voice.example.com/media/clinic", f"{what}: leads to {url}")
            r.check(token, f"{what}: no token")
        good = SIGN[carrier](target, fields)
        other = {**fields, "CallSid" if carrier == "twilio" else "CallUUID": "else"}
        if carrier != "vobiz": # whose signature does not cover the form
            status, _ = ask(server, target, other, good)
            r.check(status == 403, f"{what}: a tampered field gets {status}")
        status, _ = ask(server, f"/{carrier}/elsewhere", fields, good)
        r.check(status == 403, f"{what}: a signature of another path gets {status}")
        status, _ = ask(server, target, fields)
        r.check(status == 403, f"{what}: no signature gets {status}")
    status, text = signed(server, "plivo", "/plivo/answer?agent=clinic",
                          {"CallUUID": "u-4"}, "GET")
    r.check(status == 400, f"a GET without a call gets {status} {text}")
    target = "/plivo/answer?CallUUID=u-4&agent=clinic"
    status, text = ask(server, target, None, plivo_headers(target, {}), "GET")
    r.check(status == 200, f"a signed GET gets {status} {text}")


def numbers(r, server):
    """Without a name in the query the number that was called decides."""
    for number, want in (("+15550002", 200), ("15550002", 200), ("+15550003", 404)):
        status, text = signed(server, "twilio", "/twilio/voice", {"CallSid": "CA2", "To": number})
        r.check(status == want, f"a call to {number} gets {status} {text}")
        if want == 200 and status == 200:
            url, _ = media_of(r, "twilio", text, number)
            r.check(url.endswith("/media/second"), f"{number} leads to {url}")
    status, _ = signed(server, "twilio", "/twilio/voice?agent=nobody", {"CallSid": "CA2"})
    r.check(status == 404, f"an agent that is not there gets {status}")


def whole_call(r, server, through=None):
    """A call from the webhook to the log, with what the carrier tells before and after its end;
    `through` is where the caller's media goes."""
    through = through or server
    status, text = signed(server, "twilio", "/twilio/voice?agent=clinic",
                          {"CallSid": "CA3", "From": "+15550001", "To": "+15550002"})
    if not r.check(status == 200, f"the webhook gets {status} {text}"):
        return
    _, token = media_of(r, "twilio", text, "the call")
    call = Call(through, steps_of([("goodbye", "rms")], barge_in=0), options=("--token", token))
    report = call.finish()
    if not r.check(report["status"] == "completed", f"the call: {report}"):
        return
    for number, state in ((1, "in-progress"), (2, "completed"), (2, "completed")):
        status, text = signed(server, "twilio", "/twilio/status", {
            "CallSid": report["call_id"], "CallStatus": state, "SequenceNumber": str(number),
            "CallDuration": "7"})
        r.check(status == 204, f"status {state} gets {status} {text}")
    log = server.log_of_carrier_call(report["call_id"], 30)
    if r.check(log, "the call has no log"):
        told = [(e["status"], e["duration_seconds"]) for e in log["carrier_events"]]
        r.check(told == [("in-progress", 7), ("completed", 7)], f"the log has {told}")
    again = Call(through, steps_of([("goodbye", "rms")], barge_in=0),
                 options=("--token", token)).finish()
    r.check(again["status"] != "completed", "a token was good twice")


def hostile(r, server):
    target = "/twilio/voice?agent=clinic"
    for what, body, want in (("a body too large", b"a=" + b"x" * 20000, 413),
                             ("a bad escape", b"CallSid=%zz", 400),
                             ("too many arguments", b"&".join(b"a=1" for _ in range(200)), 400)):
        connection = http.client.HTTPConnection("127.0.0.1", server.media_port, timeout=10)
        connection.request("POST", target, body, {"Content-Type": FORM})
        answer = connection.getresponse()
        r.check(answer.status == want, f"{what} gets {answer.status}")
        connection.close()
    with socket.create_connection(("127.0.0.1", server.media_port), timeout=10) as s:
        s.sendall(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nCallSid=")
        r.check(b" 408 " in s.recv(1000), "a body that never comes is not told so")
    for method, path in (("PUT", target), ("POST", "/nothing/here"), ("POST", "/twilio")):
        status, _ = ask(server, path, {"CallSid": "CA1"}, method=method)
        r.check(status in (403, 404, 405), f"{method} {path} gets {status}")
    r.check(server.metrics()['sidetone_webhooks_received_total{result="refused"}'] > 5,
            "refusals are not counted")


class Carrier(http.server.ThreadingHTTPServer):
    """The REST API of a carrier: keeps what it was asked, answers as told."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), CarrierHandler)
        self.asked, self.answer = [], (201, {})
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class CarrierHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append((self.path, dict(self.headers), body))
        status, answer = self.server.answer
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def refusal(server, body):
    """Status and message of a POST /calls that must fail."""
    try:
        return 201, server.post("/calls", body)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]["message"]


def dialling(r, server, carrier):
    basic = "Basic " + base64.b64encode(f"AC1:{SECRET}".encode()).decode()
    carrier.answer = (201, {"sid": "CA77", "status": "queued"})
    placed = server.post("/calls", {"agent": "clinic", "carrier": "twilio", "to": "+15550009",
                                    "ring_seconds": 20})
    r.check(placed == {"carrier": "twilio", "carrier_call_id": "CA77"}, f"placed: {placed}")
    path, headers, body = carrier.asked[-1]
    form = urllib.parse.parse_qs(body)
    r.check(path == "/2010-04-01/Accounts/AC1/Calls.json", f"asked at {path}")
    r.check(headers.get("Authorization") == basic, "the account did not sign in")
    r.check(form["To"] == ["+15550009"] and form["From"] == ["+15550000"] and
            form["Url"] == [PUBLIC + "/twilio/voice?agent=clinic"] and
            form["StatusCallback"] == [PUBLIC + "/twilio/status"] and form["Timeout"] == ["20"],
            f"asked for {form}")
    carrier.answer = (201, {"message": "call fired", "request_uuid": "u-77"})
    placed = server.post("/calls", {"agent": "clinic", "carrier": "plivo", "to": "15550009",
                                    "from": "15550001"})
    r.check(placed == {"carrier": "plivo", "carrier_call_id": "u-77"}, f"placed: {placed}")
    asked = json.loads(carrier.asked[-1][2])
    r.check(asked["to"] == "15550009" and
            asked["answer_url"] == PUBLIC + "/plivo/answer?agent=clinic", f"asked for {asked}")
    carrier.answer = (400, {"code": 21211, "message": "not a valid phone number"})
    status, message = refusal(server, {"agent": "clinic", "carrier": "twilio", "to": "+15550009"})
    r.check(status == 502 and message == "Twilio answered 400: not a valid phone number",
            f"a refusal is told as {status} {message}")
    for body, what in (({"to": "+15550009"}, "no carrier named of three"),
                       ({"to": "+15550009", "carrier": "pigeon"}, "no such carrier"),
                       ({"to": "tomorrow", "carrier": "twilio"}, "no number"),
                       ({"to": "+15550009", "carrier": "vobiz"}, "no number of ours")):
        status, message = refusal(server, {"agent": "clinic", **body})
        r.check(status == 400, f"{what} gets {status} {message}")
    carrier.shutdown()
    carrier.server_close()
    status, message = refusal(server, {"agent": "clinic", "carrier": "twilio", "to": "+15550009"})
    r.check(status == 502 and "cannot be reached" in str(message),
            f"a carrier that is away is told as {status} {message}")


def secured(r, folder, config):
    """The same over TLS of the server's own: the webhook's POST, its GET, the call, the status."""
    if not r.check(shutil.which("openssl"), "openssl is missing"):
        return
    authority = Authority(folder)
    authority.issue(1)
    certificate = {"tls_certificate": authority.at("server.pem"),
                   "tls_key": authority.at("server.key")}
    with Server(folder, {**config, "media": certificate}, name="secured") as plain:
        plain.start()
        server = Secured(plain, authority)
        signatures(r, server)
        tunnel = Tunnel(server.media_port, server.context)
        whole_call(r, server, tunnel)
        tunnel.close()
        r.check(refuses_plain(server.media_port), "the media port answers without TLS")
        r.check(server.stop() == 0, "the server with a certificate did not end in order")


def unconfigured(r, folder, agent):
    """Without an account only a server for local peers answers."""
    with Server(folder, agent=agent, name="open") as server:
        server.start()
        status, text = ask(server, "/twilio/voice", {"CallSid": "CA1"})
        r.check(status == 200, f"on loopback, without an account: {status} {text}")
        server.stop()
    closed = {"media": {"token_required": "always"}}
    with Server(folder, closed, agent=agent, name="closed") as server:
        server.start()
        status, _ = ask(server, "/twilio/voice", {"CallSid": "CA1"})
        r.check(status == 403, f"with tokens always asked for, without an account: {status}")
        server.stop()


def main():
    argparse.ArgumentParser().parse_args()
    r = Result("webhooks")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        agent = short_agent(folder)
        second = short_agent(folder, "Hi.", phone_numbers=["+15550002"], id="second",
                             file="second.yaml")
        carrier = Carrier()
        accounts = {name: {key: "AC1", "auth_token": SECRET} for name, key in
                    (("twilio", "account_sid"), ("plivo", "auth_id"), ("vobiz", "auth_id"))}
        for name, number in (("twilio", "+15550000"), ("plivo", "15550000")):
            accounts[name].update(api_url=carrier.url, **{"from": number})
        config = {"public_url": PUBLIC, "agents": [agent, second], **accounts}
        with Server(folder, config) as server:
            server.start()
            signatures(r, server)
            numbers(r, server)
            whole_call(r, server)
            hostile(r, server)
            dialling(r, server, carrier)
            r.check(server.stop() == 0, "the server did not end in order")
        secured(r, folder, config)
        unconfigured(r, folder, agent)
    r.finish()


if __name__ == "__main__":
    main()
