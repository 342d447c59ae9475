"""bench/RESULTS.md: the tables, and where and how they came about."""
import json
import os
import platform
import subprocess

from rig import pipecat
from rig.judge import BUSY_PCT, LATE_MOST, steps_of, was_held
from rig.place import HARNESS_CORE, ROOT, SERVER_CORE, SPREAD_US
from rig.servers import SCRIPT_MS


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def machine():
    model = "unknown processor"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), platform.release().split("-")[0])


def milliseconds(histogram, key):
    return "%.1f" % (histogram[key] / 1000) if histogram else "-"


def both(histogram):
    return "%s / %s" % (milliseconds(histogram, "p50_us"), milliseconds(histogram, "p99_us"))


def figure(value, form="%.1f"):
    return "-" if value is None else form % value


def row(name, step):
    rss = step["rss_bytes_per_call"]
    return "| %s%s | %d | %s | %s | %s | %s | %s | %d / %d / %d | %s | %s |" % (
        name, "" if was_held(step) else ", **not held**", step["calls"],
        figure(step["server_cpu_pct"]), figure(step["us_per_pair"], "%.2f"),
        both(step["wire"]), both(step["response"]),
        figure(step["late_slots_per_100k"]), step["wrong_audio"], step["broken_audio"],
        step["unanswered"], figure(rss and rss / 1024), figure(step["harness_cpu_pct"]))


ROWS = [("echo", "bare echo, 2 ms tick"), ("rtp", "RTP"), ("twilio", "Twilio protocol"),
        ("agent", "echo agent on our runtime, spread"),
        ("pass", "rtpengine, PCMU passed on, spread"), ("path", "RTP, spread"),
        ("transcode", "rtpengine, PCMU to PCMA, spread")]
HEAD = ["| what | callers | shard CPU % | us per pair | wire ms p50 / p99 | response ms p50 / p99 "
        "| late or missing of 100k | wrong / broken / unanswered | RSS KB per caller | harness "
        "CPU % |", "|---|---|---|---|---|---|---|---|---|---|"]


def table(found):
    rows = [row(title, step) for name, title in ROWS
            for step in steps_of(found, name)]
    lines = HEAD + rows if rows else []
    if "pipecat" in found:
        lines += ["", *peer_table(found)]
    return lines


PEER_HEAD = ["| who, with Silero and simulated providers | calls | held | all within 60 ms | "
             "CPU %, all threads | per call | MB per call | response ms p50 / p99 | latest ms | "
             "wrong / broken / unanswered | harness and providers CPU % |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]


def peer_row(name, step):
    rss, late = step["rss_bytes_per_call"], step["lateness"]
    return "| %s | %d | %s | %s | %s | %.2f | %.2f | %s | %s | %d / %d / %d | %s |" % (
        name, step["calls"], yes(was_held(step)), yes(step["loose"] > 0.5),
        figure(step["server_cpu_pct"]), step["server_cpu_pct"] / max(1, step["calls"]), rss / 1e6,
        both(step["response"]), milliseconds(late, "max_us"), step["wrong_audio"],
        step["broken_audio"], step["unanswered"],
        figure(step["harness_cpu_pct"] + step["providers_cpu_pct"]))


def yes(good):
    return "yes" if good else "**no**"


def peer_table(found):
    return PEER_HEAD + [peer_row(title, step)
                        for name, title in (("pipecat", "Pipecat %s" % pipecat.VERSION),
                                            ("beside", "Sidetone"))
                        for step in steps_of(found, name)]


def write(table_lines, one, missing, typed, began, runs):
    changed = git("status", "--porcelain", "--", "src", "actors", "bench", ":!bench/RESULTS.md")
    dirty = " with changes" if changed else ""
    lines = [
        "# Results", "",
        "Written by `bench/run`; measured, not promised. What the columns mean and what limits "
        "them: [NOTES.md](NOTES.md).", "",
        "- machine: %s; load average when it began %s" % (machine(), began),
        "- commit: %s%s" % (git("rev-parse", "--short=12", "HEAD"), dirty),
        "- command: `%s`%s" % (typed, "" if runs == 1 else "; medians of %d runs" % runs),
        "- server: 1 shard on core %s, log level warn, no recording, energy VAD, scripted providers"
        % SERVER_CORE,
        "- harness: core %s" % HARNESS_CORE, "", *table_lines]
    lines += ["", "Response: last voiced packet sent to first voiced packet of the reply, less the "
              "script's own %d ms (nothing less where providers are simulated). Wire: from a "
              "packet sent to its echo, or to the next packet of a server that speaks in its own "
              "time. Spread: packets leave the harness at most %d us from their own time, and a "
              "call through a relay is two callers. Not held: a call or a check failed, more than "
              "%d of 100,000 slots were late, or shard or harness needed over %d %% of a core (of "
              "a relay: packets were lost); such a row is no measure of the server. Of several "
              "runs: in half of them or more." % (SCRIPT_MS, SPREAD_US, LATE_MOST, BUSY_PCT)]
    lines += ["", *("- `%s`: not measured: %s" % item for item in missing.items())]
    lines += ["", "```json", json.dumps(one), "```"]
    (ROOT / "bench/RESULTS.md").write_text("\n".join(lines).replace("\n\n\n", "\n\n") + "\n")
