"""A headless Chromium, driven by its own DevTools protocol over a pipe: no driver, no port."""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
ANSWER_S = 60


class BrowserError(Exception):
    pass


class Browser:
    """`microphone`: a WAV that stands for it, played once from the moment it is opened; None: there
    is none. `allow`: what the user answers when asked for it."""

    def __init__(self, microphone=None, allow=True):
        self.folder = tempfile.mkdtemp(prefix="sidetone-browser-")
        to_them, self.write_to = os.pipe()
        self.read_from, from_them = os.pipe()
        command = [BINARY, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                   "--disable-dev-shm-usage", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-extensions",
                   "--hide-scrollbars", "--autoplay-policy=no-user-gesture-required",
                   "--use-fake-ui-for-media-stream" + ("" if allow else "=deny"),
                   f"--user-data-dir={self.folder}", "--remote-debugging-pipe"]
        if microphone:
            command += ["--use-fake-device-for-media-stream",
                        f"--use-file-for-fake-audio-capture={microphone}%noloop"]
        command.append("about:blank")
        # The browser talks on descriptors 3 and 4.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_them} 4>&{from_them}', "browser", *command],
            pass_fds=(to_them, from_them), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_them)
        os.close(from_them)
        self.numbers = itertools.count(1)
        self.bytes = b""
        self.answers = {}
        self.handlers = {}  # (session, method) -> what is done with its parameters

    def send(self, method, params=None, session=None):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_to, data):]
        return number

    def ask(self, method, params=None, session=None, seconds=ANSWER_S):
        number = self.send(method, params, session)
        until = time.monotonic() + seconds
        while number not in self.answers:
            if not self.pump(until - time.monotonic()):
                raise BrowserError(f"{method}: no answer within {seconds} s")
        answer = self.answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def pump(self, seconds):
        """Takes what has come; False if nothing came in that time."""
        ready, _, _ = select.select([self.read_from], [], [], max(0, seconds))
        if not ready:
            return False
        got = os.read(self.read_from, 1 << 20)
        if not got:
            raise BrowserError("the browser has gone")
        self.bytes += got
        if b"\0" in got:
            *messages, self.bytes = self.bytes.split(b"\0")
            for message in messages:
                self.take(json.loads(message))
        return True

    def take(self, message):
        if "id" in message:
            self.answers[message["id"]] = message
            return
        handler = self.handlers.get((message.get("sessionId"), message["method"]))
        if handler:
            handler(message["params"])

    def page(self):
        return Page(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.write_to)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.read_from)
        shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    def __init__(self, browser):
        self.browser = browser
        target = browser.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = browser.ask("Target.attachToTarget",
                                   {"targetId": target, "flatten": True})["sessionId"]
        self.complaints = []  # of the page: errors, refused by its policy
        self.ask("Page.enable")
        self.ask("Runtime.enable")
        self.ask("Log.enable")
        self.on("Runtime.exceptionThrown",
                lambda p: self.complaints.append(str(p["exceptionDetails"].get("exception", {})
                                                     .get("description", p["exceptionDetails"]))))
        self.on("Log.entryAdded", lambda p: p["entry"]["level"] == "error" and
                self.complaints.append(f"{p['entry']['text']} {p['entry'].get('url', '')}"))

    def ask(self, method, params=None):
        return self.browser.ask(method, params, self.session)

    def on(self, method, handler):
        self.browser.handlers[self.session, method] = handler

    def before_load(self, script):
        self.ask("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def serve(self, pattern, content_type, text):
        """Answers requests that match with this text, in the server's stead."""
        body = base64.b64encode(text.encode()).decode()

        def paused(params):
            self.browser.send("Fetch.fulfillRequest", {
                "requestId": params["requestId"], "responseCode": 200, "body": body,
                "responseHeaders": [{"name": "content-type", "value": content_type}]}, self.session)
        self.on("Fetch.requestPaused", paused)
        self.ask("Fetch.enable", {"patterns": [{"urlPattern": pattern}]})

    def open(self, url):
        self.ask("Page.navigate", {"url": url})
        self.wait("document.readyState === 'complete'", 20)

    def eval(self, expression):
        result = self.ask("Runtime.evaluate", {"expression": expression, "returnByValue": True,
                                               "awaitPromise": True, "userGesture": True})
        if "exceptionDetails" in result:
            raise BrowserError(str(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def wait(self, expression, seconds):
        """Until it is true; False if it does not become so."""
        until = time.monotonic() + seconds
        while not self.eval(expression):
            if time.monotonic() > until:
                return False
            self.sleep(0.05)
        return True

    def sleep(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.browser.pump(until - time.monotonic())

    def size(self, width, height, dark=False, mobile=False):
        self.ask("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1,
            "mobile": mobile})
        self.ask("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def screenshot(self, path):
        shot = self.ask("Page.captureScreenshot", {"format": "png"})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
