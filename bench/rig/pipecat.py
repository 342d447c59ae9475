"""Pipecat under the same Twilio-protocol calls as ours: its pipeline with Silero, and providers
that answer by the script's delays, so that what is measured is Pipecat. It is installed into a
virtual environment of its own below build/."""
import socket
import subprocess
import sys
import time

from rig.place import BUILD, HARNESS_CORE, ROOT, SERVER_CORE, beside, load, say

HOME = ROOT / "build/pipecat"
PACKAGES = ["pipecat-ai[silero,websocket]", "uvicorn", "websockets"]
PORT, STEPS, HOLD_S = 17970, [1, 4, 8, 12, 16], 15
LATE_MOST = 1000 # of 100,000, as for ours


def install():
    if not (HOME / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True, stdout=sys.stderr)
    have = subprocess.run([str(HOME / "bin/python"), "-c", "import pipecat, uvicorn, websockets"],
                          capture_output=True)
    if have.returncode:
        say("-- installing Pipecat into %s" % HOME.relative_to(ROOT))
        subprocess.run([str(HOME / "bin/pip"), "install", "-q", *PACKAGES], check=True,
                       stdout=sys.stderr)


def wait_for_port(process):
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.2)
    raise OSError("the Pipecat bot does not start")


def started(folder):
    log = open(folder / "pipecat.log", "ab")
    process = subprocess.Popen(
        beside(SERVER_CORE, False) +
        [str(HOME / "bin/python"), str(ROOT / "bench/rig/pipecat_bot.py"), str(PORT)],
        stdout=log, stderr=log)
    log.close()
    wait_for_port(process)
    return process


def speech(folder):
    """Spoken sentences: its detector does not take a buzz for a voice."""
    path = folder / "speech"
    path.mkdir(exist_ok=True)
    texts = ["good morning i would like to make an appointment for next tuesday afternoon",
             "could you please tell me when you are open during the week"]
    for voice in ("slt", "rms"):
        for i, text in enumerate(texts):
            subprocess.run([str(BUILD / "sidetone-say"), "--voice", voice, "--text", text, "--out",
                            str(path / ("%s%d.wav" % (voice, i)))], check=True,
                           stdout=subprocess.DEVNULL)
    return path


def row(step):
    response = step["response"]
    delays = "%d / %d" % (response["p50_us"] / 1000, response["p99_us"] / 1000) if response else "-"
    good = (step["calls"] == step["calls_asked"] and not step["unanswered"] and
            step["late_slots_per_100k"] <= LATE_MOST)
    return "| %d%s | %.1f | %s | %.1f | %d | %.1f |" % (
        step["calls"], "" if good else ", **not held**", step["server_all_threads_pct"] or 0,
        delays, step["late_slots_per_100k"], step["unanswered"],
        (step["rss_bytes_per_call"] or 0) / 1e6)


def measure(folder, size):
    """The table for RESULTS.md."""
    install()
    process = started(folder)
    try:
        report = load(folder, "pipecat", process.pid, STEPS, "--via", "twilio", "--media",
                      "ws://127.0.0.1:%d/ws" % PORT, "--expect", "any", "--speech", speech(folder),
                      "--spurt", 2900, "--pause", 500, "--hold", max(size["hold"], HOLD_S),
                      settle=5)
    finally:
        process.terminate()
        process.wait()
    version = subprocess.run(
        [str(HOME / "bin/python"), "-c",
         "import importlib.metadata as m; print(m.version('pipecat-ai'))"],
        capture_output=True, text=True).stdout.strip()
    return {"table": [
        "## Pipecat %s" % version, "",
        "With Silero and scripted providers (text 50 ms after speech, first token after 100 ms, "
        "first sound after 80 ms) on core %s, the harness on core %s; any voice counts as an "
        "answer." % (SERVER_CORE, HARNESS_CORE), "",
        "| calls | CPU % | response ms p50 / p99 | late or missing of 100k | unanswered | RSS MB "
        "per call |", "|---|---|---|---|---|---|", *map(row, report["steps"]), ""]}
