#!/usr/bin/env python3
"""sidetone-call against the echo agent, over real sockets: what it measures, how it ends, what it
says when something is wrong. Takes the folder of the build (default build/release)."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import wave

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "build", "release")
CALL = os.path.join(BUILD, "sidetone-call")
ATTEMPTS = 3
failures = 0


def check(name, good, got=""):
    global failures
    failures += not good
    print(f"{'ok    ' if good else 'FAILED'} {name}{'' if good else ': ' + str(got)}", flush=True)


def write_wav(path, rate=8000, channels=1):
    pcm = [0] * 800 + [int(6000 * math.sin(i * 0.24)) for i in range(6400)] + [0] * 1600
    with wave.open(path, "wb") as w:
        w.setnchannels(channels)
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(struct.pack(f"<{len(pcm)}h", *pcm))


def place(folder, agent_options, *options):
    """(exit code, last line as JSON or None, stderr, what the agent saw)."""
    agent = subprocess.Popen([sys.executable, os.path.join(HERE, "echo_agent.py"), *agent_options],
                             stdout=subprocess.PIPE, text=True)
    port = agent.stdout.readline().strip()
    try:
        run = subprocess.run([CALL, "--url", f"ws://127.0.0.1:{port}/media/clinic", "--json",
                              *options], capture_output=True, text=True, timeout=120)
        seen = agent.communicate(timeout=30)[0].strip()
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()
        return None, None, "timeout", None
    lines = run.stdout.splitlines()
    return (run.returncode, json.loads(lines[-1]) if lines else None, run.stderr,
            json.loads(seen.splitlines()[-1]) if seen else None)


def a_whole_call(folder, wav):
    out = os.path.join(folder, "out.wav")
    for _ in range(ATTEMPTS):
        code, call, err, seen = place(folder, ["--token", "T1"], "--token", "T1", "--say", wav,
                                      "--say", wav, "--barge-in", "--dtmf", "1", "--record", out)
        check("a whole call ends completed", code == 0 and call["status"] == "completed",
              (code, err))
        v2v = [t["voice_to_voice_ms"] for t in call["turns"]]
        stop = call["turns"][1]["barge_in_stop_ms"]
        check("nothing is measured that was sooner", all(v is not None for v in v2v) and
              v2v[0] >= 340 and stop is not None, (v2v, stop))
        # 200 ms of patience and 150 of thought at the agent. A busy machine only ever makes it
        # later: one that measures wrongly does so every time.
        if v2v[0] <= 500 and stop <= 100:
            break
    check("answers are measured", v2v[0] <= 500, v2v)
    check("the interruption is measured", call["turns"][1]["barge_in"] and stop <= 100, stop)
    check("the key arrives", seen["digits"] == "1" and call["turns"][2]["dtmf"] == "1", seen)
    check("messages come in order", seen["sequence_ok"] and seen["events"][0] == "connected"
          and seen["events"][-1] == "stop", seen)
    check("marks are echoed", seen["marks"][0] == seen["marks"][1] > 0, seen)
    check("frames keep real time", abs(seen["frames"] * 20 - call["duration_ms"]) <= 40, seen)
    with wave.open(out) as w:
        pairs = struct.unpack(f"<{2 * w.getnframes()}h", w.readframes(w.getnframes()))
        check("the recording is stereo at 8 kHz",
              (w.getnchannels(), w.getframerate()) == (2, 8000))
    left, right = pairs[0::2], pairs[1::2]
    end, answer = call["turns"][0]["said_to_ms"] * 8, call["turns"][0]["answer_at_ms"] * 8
    check("it holds the caller where it spoke", max(map(abs, left[end - 80:end])) > 3000
          and max(map(abs, left[end + 16:end + 160])) == 0)
    check("and the agent where it was heard", max(map(abs, right[answer - 160:answer - 8])) == 0
          and max(map(abs, right[answer:answer + 160])) > 1000)


def wrong_things(folder, wav):
    def sentence(err, words):
        return err.startswith("sidetone-call: ") and err.count("\n") == 1 and words in err

    for fault, code_wanted, status, words in [
            ("http-401", 2, "refused", "refuses the token"),
            ("http-404", 2, "refused", "no agent at /media/clinic"),
            ("garbage", 3, "failed", "not speak HTTP"),
            ("not-json", 3, "failed", ""),
            ("wrong-sid", 3, "failed", ""),
            ("no-mark-object", 3, "failed", ""),
            ("vanish", 3, "failed", "")]:
        code, call, err, _ = place(folder, ["--fault", fault], "--say", wav)
        good = code == code_wanted and call and call["status"] == status and sentence(err, words)
        if fault == "vanish":  # an end of the stream without a close frame is no order
            good = code == 3 and call["status"] in ("failed", "ended_early")
        if fault == "garbage":
            good = code in (2, 3) and sentence(err, words)
        check(f"agent with the fault {fault}", good, (code, call and call["status"], err))
    code, call, err, _ = place(folder, ["--hang-up-after", "1"], *["--say", wav] * 3)
    check("an agent that hangs up early", code == 3 and call["status"] == "ended_early",
          (code, err))
    code, call, err, _ = place(folder, [], "--say", wav, "--timeout", "1")
    check("a call that takes too long", code == 4 and call["status"] == "timeout"
          and sentence(err, "time"), (code, err))


def wrong_use(folder, wav):
    bad_rate, stereo = os.path.join(folder, "16k.wav"), os.path.join(folder, "stereo.wav")
    write_wav(bad_rate, rate=16000)
    write_wav(stereo, channels=2)
    url = ["--url", "ws://127.0.0.1:1/media/x"]
    for options, code, words in [
            ([], 1, "--url"),
            (url, 1, "--say"),
            (url + ["--say", "/no/such.wav"], 1, "/no/such.wav"),
            (url + ["--say", bad_rate], 1, "8000 Hz"),
            (url + ["--say", stereo], 1, "one channel"),
            (url + ["--say", __file__], 1, "not a WAV"),
            (url + ["--say", wav, "--barge-in", "3"], 1, "barge-in"),
            (url + ["--dtmf", "x"], 1, "telephone"),
            (["--url", "http://x/", "--dtmf", "1"], 1, "scheme"),
            (url + ["--say", wav, "--timeout", "soon"], 1, "timeout"),
            (url + ["--plan", wav], 1, "JSON"),
            (url + ["--dtmf", "1"], 2, "nobody listens"),
            (["--protocol", "rtp", "--agent", "a", "--api", "http://127.0.0.1:1", "--dtmf", "1"], 2,
             "nobody listens")]:
        run = subprocess.run([CALL, *options], capture_output=True, text=True, timeout=60)
        check(f"wrong use: {words}", run.returncode == code and words in run.stderr
              and run.stderr.count("\n") == 1, (run.returncode, run.stderr))


def main():
    with tempfile.TemporaryDirectory() as folder:
        wav = os.path.join(folder, "say.wav")
        write_wav(wav)
        a_whole_call(folder, wav)
        wrong_things(folder, wav)
        wrong_use(folder, wav)
    print(f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
