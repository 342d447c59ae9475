"""Pipecat from PyPI beside ours: both answer the same callers of Twilio's protocol with Silero, and
with clients of Deepgram and OpenAI that talk to the simulated providers. Calls are added until one
of them is not served as it should be."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from rig.judge import held, largest
from rig.place import BUILD, HARNESS_CORE, ROOT, SERVER_CORE, beside, load, say
from rig.servers import MEDIA, Server

MEDIA_PEER, PROVIDERS = 17970, 17980

HERE = ROOT / "bench/pipecat"
VENV = ROOT / "build/pipecat"
VERSION = "1.14.0"
UNREACHED = "pip could not fetch what bench/pipecat/requirements.txt names: is PyPI reached?"
# Both wait for 800 ms of silence (Pipecat: 200 of its detector's, then 600), and for providers that
# take 50 ms for the final text, 130 for the answer's last word and 80 for its first sound.
PATIENCE_MS, VAD_STOP_MS = 800, 200
TALK = ["--spurt", "2900", "--spurt-least", "1500", "--pause", "1000"]
LOOSE_LATE_US = 60000 # the looser measure: nothing is played so much too late
VOICES = ["slt", "rms", "awb", "kal"]
SENTENCES = ["good morning i would like to make an appointment for next tuesday in the afternoon",
             "could you please tell me when you are open during the week and on saturdays",
             "my daughter has had a cough since the day before yesterday and she feels warm"]
PROVIDERS_YAML = """\
bind: 127.0.0.1:%d
log: /dev/null
hear: {files: [heard.txt], gap_ms: 2000, finalize: constant 50}
answer: {texts: ["You said {last}."], first_token: constant 100, token: constant 10}
speak: {marked: true, first_audio: constant 80, speed: 4, ms_per_character: 120}
"""
AGENT_YAML = """\
name: peer
greeting: Good morning, caller 1.
prompt: Answer.
vad: {provider: silero, stop_ms: %d}
patience: {complete_ms: %d, open_ms: %d, max_ms: %d}
recording: false
stt: {provider: deepgram, api_key: any, base_url: "ws://127.0.0.1:%d/v1/listen"}
llm: {provider: openai, api_key: any, model: simulated, end_call: false,
      base_url: "http://127.0.0.1:%d/v1"}
tts: {provider: deepgram, api_key: any, encoding: mulaw, base_url: "ws://127.0.0.1:%d/v1/speak"}
"""


# ---- the environment ----

def stamp():
    text = (HERE / "requirements.txt").read_bytes() + sys.version.encode()
    return hashlib.sha256(text).hexdigest()


def prepare():
    """Its own environment, once. FileNotFoundError when it cannot be had."""
    mark = VENV / "stamp"
    if mark.exists() and mark.read_text() == stamp():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    say("pipecat: fetching it into %s" % VENV.relative_to(ROOT))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
    command = [sys.executable, "-m", "pip", "--python", str(VENV / "bin/python"), "install",
               "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps",
               "--only-binary", ":all:", "-r", str(HERE / "requirements.txt")]
    try:
        done = subprocess.run(command, stdout=sys.stderr, timeout=900)
    except subprocess.TimeoutExpired:
        raise FileNotFoundError(UNREACHED) from None
    if done.returncode:
        raise FileNotFoundError(UNREACHED)
    mark.write_text(stamp())


# ---- who takes part ----

def wait_up(process, url, name):
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise OSError("%s does not start" % name) from None
            time.sleep(0.1)


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Providers:
    """The simulated ones, beside the harness."""

    def __init__(self, folder):
        (folder / "heard.txt").write_text("".join("utterance %d\n" % n for n in range(2, 2000)))
        config = folder / "providers.yaml"
        config.write_text(PROVIDERS_YAML % PROVIDERS)
        self.process = subprocess.Popen(
            beside(HARNESS_CORE, False) + [str(BUILD / "sidetone-providers"), "--config",
                                           str(config)], stdout=subprocess.DEVNULL)
        wait_up(self.process, "http://127.0.0.1:%d/" % PROVIDERS, "sidetone-providers")

    def stop(self):
        end(self.process)


class Pipecat:
    """One process on the server's core, with all its threads."""
    media = "ws://127.0.0.1:%d/media" % MEDIA_PEER

    def __init__(self, folder):
        self.log = open(folder / "pipecat.log", "ab")
        # one core is all that there is: more threads of a library's pool would only be in the way
        clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            beside(SERVER_CORE, False) + [str(VENV / "bin/python"), str(HERE / "server.py"),
                                          str(MEDIA_PEER), str(PROVIDERS)],
            env=clean, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        wait_up(self.process, "http://127.0.0.1:%d/health" % MEDIA_PEER, "pipecat")

    def stop(self):
        end(self.process)
        self.log.close()


def ours(folder, calls):
    agent = folder / "peer.yaml"
    agent.write_text(AGENT_YAML % (VAD_STOP_MS, PATIENCE_MS, PATIENCE_MS, PATIENCE_MS + 200,
                                   PROVIDERS, PROVIDERS, PROVIDERS))
    return Server(folder, calls + 16, agent=agent)


def speech(folder):
    """Sentences by several voices: Silero takes no buzz for speech."""
    path = folder / "speech"
    if not path.exists():
        path.mkdir()
        for voice in VOICES:
            for i, text in enumerate(SENTENCES):
                subprocess.run([str(BUILD / "sidetone-say"), "--voice", voice, "--text", text,
                                "--out", str(path / ("%s%d.wav" % (voice, i)))], check=True,
                               stdout=subprocess.DEVNULL)
    return path


# ---- the search ----

def cpu_s(pid):
    """Of a process and all its threads."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def step_of(folder, name, begin, media, calls, rate, hold):
    """So many calls against a server that begins for them: the harness's figures, in which the
    server's processor time is that of all its threads."""
    server = begin(folder)
    providers = Providers(folder)
    try:
        began, at = cpu_s(providers.process.pid), time.monotonic()
        step = load(folder, name, server.pid, [calls], "--via", "twilio", "--media", media,
                    "--rate", rate, "--hold", hold, "--speech", speech(folder), *TALK)["steps"][0]
        step["server_cpu_pct"] = step["server_all_threads_pct"]
        step["providers_cpu_pct"] = round(
            (cpu_s(providers.process.pid) - began) / (time.monotonic() - at) * 100, 1)
        return step
    finally:
        providers.stop()
        server.stop()


def loosely_held(step):
    """Every call up, every turn answered with the call's own audio, none of it 60 ms too late."""
    late = step["lateness"]["max_us"] if step["lateness"] else 0
    return (step["calls"] == step["calls_asked"] and late <= LOOSE_LATE_US and
            not (step["wrong_audio"] or step["broken_audio"] or step["unanswered"] or
                 step["unasked"]))


def climb(folder, name, begin, media, sizes, rate, hold):
    """Steps until one is held by neither measure."""
    steps = []
    for calls in sizes:
        step = step_of(folder, name, begin, media, calls, rate, hold)
        step["loose"] = int(loosely_held(step))
        steps.append(step)
        if not held(step) and not step["loose"]:
            break
    return {"steps": steps}


def measure(folder, size):
    """Both sides' steps."""
    hold = 2 * size["hold"] # a turn takes some 8 s
    return {
        "pipecat": climb(folder, "pipecat", Pipecat, Pipecat.media, size["pipecat"], 4, hold),
        "beside": climb(folder, "sidetone-beside", lambda f: ours(f, max(size["beside"])),
                        "ws://127.0.0.1:%d/media/peer" % MEDIA, size["beside"], 25, hold)}


def side(found, name):
    """What is told of one side in the one object: the most calls by each measure, and what a call
    cost where most were held."""
    loose = [step for step in found[name]["steps"] if step["loose"] > 0.5]
    strict = largest(found, name)
    best = strict if strict["calls"] else loose[-1] if loose else None
    told = {"calls": strict["calls"], "calls_60ms": loose[-1]["calls"] if loose else 0,
            "cpu_pct_per_call": None, "mb_per_call": None, "response_ms_p50": None}
    if best:
        told.update(cpu_pct_per_call=round(best["server_cpu_pct"] / best["calls"], 3),
                    mb_per_call=round(best["rss_bytes_per_call"] / 1e6, 2),
                    response_ms_p50=round(best["response"]["p50_us"] / 1000))
    return told


def summary(found):
    return {"version": VERSION, **side(found, "pipecat"), "sidetone": side(found, "beside")}
