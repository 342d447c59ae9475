"""Where things run, and what runs them: cores, the build, one run of the harness."""
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build/release"
SERVER_CORE, HARNESS_CORE = "0", "1"
SOCKETS = 16 # of the harness's trunk; see bench/load/trunk.h
LOCAL = 30000 # its first port, where somebody has to know it
SPREAD_US = 50 # relays wake for each packet: their arrivals must not come in heaps


def say(text):
    print(text, file=sys.stderr, flush=True)


def permitted(command):
    try:
        return subprocess.run(command + ["true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def beside(core, real_time):
    """What a command is begun with so that it stays on its core and is not kept waiting there."""
    prefix = ["taskset", "-c", core] if permitted(["taskset", "-c", core]) else []
    chrt = ["chrt", "-f", "5"]
    return prefix + (chrt if real_time and permitted(chrt) else [])


def socket_of(caller):
    """Which of its sockets the harness gives to a caller."""
    return (caller * 2654435769 % 2 ** 32) * SOCKETS >> 32


def build(*targets):
    subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", str(BUILD), "--target", *targets], cwd=ROOT, check=True,
                   stdout=sys.stderr)


def load(folder, name, pid, steps, *more, settle=3):
    """One run of the harness: its report."""
    report, page = folder / (name + ".json"), folder / (name + ".html")
    command = beside(HARNESS_CORE, True) + [
        str(BUILD / "sidetone-load"), "--pid", str(pid), "--calls", ",".join(map(str, steps)),
        "--rate", "400", "--settle", str(settle), "--json", str(report), "--html", str(page),
        "--title", "Sidetone, " + name, *map(str, more)]
    if not sys.stderr.isatty():
        command.append("--no-progress")
    say("-- %s: %s calls" % (name, ", ".join(map(str, steps))))
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode == 2 or not report.exists():
        raise SystemExit("the harness could not run")
    return json.loads(report.read_text())
