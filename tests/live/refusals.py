"""What cannot work is refused at once: one clear sentence, exit code 1, nothing left behind."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from tests.live.result import Result
from tests.live.server import BUILD, Server, free_port, program, share, short_agent

REFUSED_S = 60

# name, text of the configuration, what the sentence must say ({f} is the file).
CONFIGS = [
    ("an unknown key", "colour: blue\n", r"^{f}:1: colour: unknown key"),
    ("a key misspelt", "data_dir: x\nmedia:\n  bnid: 127.0.0.1:1\n",
     r"^{f}:3: media\.bnid: .*bind"),
    ("no number", "calls_max: many\n", r"^{f}:1: calls_max: "),
    ("a number too large", "\n\ncalls_max: 9999999\n", r"^{f}:3: calls_max: .*100000"),
    ("no such choice", "io: poll\n", r"^{f}:1: io: .*(uring|epoll)"),
    ("no address", "api: {{bind: nowhere}}\n", r"^{f}:1: api\.bind: "),
    ("a port out of range", "media: {{bind: '127.0.0.1:70000'}}\n", r"^{f}:1: media\.bind: "),
    ("ports upside down", "rtp: {{ports: 300-200}}\n", r"^{f}:1: rtp\.ports: "),
    ("a key twice", "io: auto\nio: auto\n", r"^{f}:2: io: "),
    ("no YAML", "io: [auto\n", r"^{f}:\d+: "),
    ("tabs", "api:\n\tbind: x\n", r"^{f}:2: "),
    ("a list for a block", "api: [1]\n", r"^{f}:1: api: "),
    ("an unset variable", "public_url: ${{SIDETONE_NOT_SET}}\n",
     r"^{f}:1: public_url: .*SIDETONE_NOT_SET"),
    ("no token on an open port",
     "media: {{bind: '0.0.0.0:1', token_required: never}}\n", r"^{f}:1: media\.token_required: "),
    ("an agent that is not there", "agents: [nobody.yaml]\n", r"nobody\.yaml"),
    ("not UTF-8", "public_url: \udcff\udcfe\n", r"^{f}:\d+: "),
]

# So that a complaint is about what follows.
EARS = "name: a\nstt: {{provider: pocketsphinx, grammar: '{share}/agents/clinic.gram'}}\n"
RULES = "llm: {{provider: rules, rules: '{share}/agents/clinic.rules'}}\n"

AGENTS = [
    ("no name", "language: en\n", r"^{f}:\d+: name: "),
    ("an unknown key", "name: a\nmood: good\n", r"^{f}:2: mood: unknown key"),
    ("an unknown provider", "name: a\nstt: {{provider: ears}}\n" + RULES,
     r"^{f}:2: stt\.provider: .*ears"),
    ("a provider's unknown setting", EARS + "llm:\n  provider: rules\n  wings: 2\n",
     r"^{f}:5: llm\.wings: "),
    ("a voice nobody has", EARS + RULES + "tts:\n  provider: flite\n  voice: elvis\n",
     r"^{f}:6: tts\.voice: .*elvis"),
    ("a grammar that is not there", "name: a\nstt:\n  provider: pocketsphinx\n  grammar: no.gram\n",
     [r"^{f}:4: stt\.grammar: .*no\.gram", r"^{f}:1: llm\.rules: "]),
    ("rules that are not there", EARS + "llm:\n  provider: rules\n  rules: no.rules\n",
     r"^{f}:5: llm\.rules: .*no\.rules"),
    ("patience that shrinks", "name: a\npatience: {{complete_ms: 900, open_ms: 100}}\n",
     r"^{f}:2: patience: complete_ms"),
    ("no number", "name: a\nvad: {{confidence: high}}\n", r"^{f}:2: vad\.confidence: "),
    ("an empty file", "", r"^{f}"),
    ("a folder", None, r"{f}"),
    ("no keys", "name: a\nstt: {{provider: vosk, base_url: x}}\nllm:\n  provider: anthropic\n"
     "  model: m\n  base_url: ftp://x\ntts: {{provider: elevenlabs, speed: 3}}\n",
     [r"^{f}:2: stt\.base_url: ", r"^{f}:6: llm\.base_url: ", r"^{f}:7: tts\."]),
    ("no variables", "name: ${{SIDETONE_A}}\nprompt: ${{SIDETONE_B}}\n",
     [r"^{f}:1: name: environment variable SIDETONE_A is not set",
      r"^{f}:2: prompt: environment variable SIDETONE_B is not set"]),
]


def refused(r, what, command, pattern, file="", **more):
    """The program must end with code 1 and one sentence that matches, or one for each pattern."""
    patterns = pattern if isinstance(pattern, list) else [pattern]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=REFUSED_S, check=False, **more)
    except subprocess.TimeoutExpired:
        r.check(False, f"{what}: not refused")
        return
    lines = done.stderr.splitlines()
    r.check(done.returncode == 1, f"{what}: exit code {done.returncode}")
    if not r.check(len(lines) == len(patterns) and
                   all(line.startswith("sidetone: ") for line in lines),
                   f"{what}: not {len(patterns)} sentences: {lines}"):
        return
    sentences = [line.removeprefix("sidetone: ") for line in lines]
    for wanted, sentence in zip(patterns, sentences):
        r.check(re.search(wanted.replace("{f}", re.escape(file)), sentence),
                f"{what}: the sentence is: {sentence}")
    loud = [line for line in done.stdout.splitlines() if '"level":"error"' in line]
    r.check(not loud, f"{what}: said twice: {loud}")
    r.tell(f"{what}: {'; '.join(sentences)}")


def write(folder, name, text):
    path = os.path.join(folder, name)
    if text is None:
        os.mkdir(path)
    else:
        with open(path, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    return path


def try_files(r, folder):
    for i, (what, text, pattern) in enumerate(CONFIGS):
        path = write(folder, f"config-{i}.yaml", text.format())
        refused(r, f"configuration, {what}",
                [program("sidetone"), "--config", path, "--check-config"], pattern, path)
    for i, (what, text, pattern) in enumerate(AGENTS):
        path = write(folder, f"agent-{i}.yaml", text and text.format(share=share()))
        refused(r, f"agent, {what}", [program("sidetone"), "--agent", path, "--check-config"],
                pattern, path)
    missing = os.path.join(folder, "missing.yaml")
    refused(r, "configuration that is not there", [program("sidetone"), "--config", missing],
            "^{f}.*No such file", missing)
    refused(r, "agent that is not there", [program("sidetone"), "--agent", missing],
            "^{f}.*No such file", missing)


def server_of(folder, name, config=None):
    return Server(folder, config, short_agent(folder), name=name)


def try_ports(r, folder):
    """Held by somebody who does not share them."""
    for key in ("api", "media"):
        port = free_port()
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            server = server_of(folder, f"port-{key}", {key: {"bind": f"127.0.0.1:{port}"}})
            refused(r, f"{key} port in use", server.command(),
                    rf"cannot listen on 127\.0\.0\.1:{port}: .*(in use|uses)")


@contextlib.contextmanager
def small_disk(folder, size):
    """A folder on a file system of its own, or None without the right to make one."""
    where = os.path.join(folder, f"disk-{size}")
    os.mkdir(where)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where],
                          capture_output=True, check=False)
    if done.returncode:
        yield None
        return
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def try_disks(r, folder):
    full = []
    for size in ("64k", "2m", "20m"):
        with small_disk(folder, size) as where:
            if not where:
                r.tell("a full disk: skipped, no right to mount one")
                continue
            server = server_of(folder, f"disk-{size}", {"data_dir": os.path.join(where, "data")})
            refused(r, f"a disk of {size}", server.command(), r"No space left|disk.*full")
            full.append(size)
    r.facts["full_disks"] = full


def open_to_all(path):
    """Whether another user than the owner may come as far as this: a tree in /root is not."""
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


def try_folders(r, folder):
    plain = write(folder, "a-file", "")
    for what, path, pattern in (
            ("data_dir is a file", plain, r"a-file.*(Not a directory|File exists)"),
            ("data_dir in a file", plain + "/data", r"a-file/data.*Not a directory"),
            ("data_dir that nobody may make", "/proc/sidetone", r"/proc/sidetone")):
        refused(r, what, server_of(folder, "folder", {"data_dir": path}).command(), pattern)
    if os.geteuid() == 0 and not open_to_all(program("sidetone")):
        r.tell("data_dir that may not be written: skipped, only root reaches the program")
    elif os.geteuid() == 0:
        locked = os.path.join(folder, "locked")
        os.mkdir(locked)
        os.chmod(locked, 0o500)
        os.chmod(folder, 0o755)
        refused(r, "data_dir that may not be written",
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] +
                server_of(folder, "locked", {"data_dir": locked}).command(),
                r"locked.*Permission denied")


def try_data(r, folder):
    """A copy of the installed tree from which files are taken."""
    home = os.path.join(folder, "home")
    os.makedirs(os.path.join(home, "build", "release"))
    binary = os.path.join(home, "build", "release", "sidetone")
    shutil.copy(program("sidetone"), binary)
    for what, gone, pattern in (
            ("no VAD weights", "vad/silero_v6_8k.bin", r"silero_v6_8k\.bin: No such file"),
            ("no grammar", "agents/clinic.gram", r"stt\.grammar: .*clinic\.gram"),
            ("no rules", "agents/clinic.rules", r"llm\.rules: .*clinic\.rules"),
            ("no agent", "agents/clinic.yaml", r"clinic\.yaml"),
            ("no data at all", "", r"not beside the program")):
        data = os.path.join(home, "data")
        shutil.copytree(share(), data)
        lost = os.path.join(data, gone)
        shutil.rmtree(lost) if os.path.isdir(lost) else os.remove(lost)
        refused(r, what, [binary, "--check-config"], pattern, cwd=folder)
        shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(share(), data)
    with open(os.path.join(data, "vad", "silero_v6_8k.bin"), "r+b") as file:
        file.truncate(1000)
    refused(r, "cut VAD weights", [binary, "--check-config"], r"silero_v6_8k\.bin")


def try_reload(r, folder):
    """SIGHUP with a good file, and with a bad one, which changes nothing."""
    server = server_of(folder, "reload", {"log": {"level": "debug"}})
    with server:
        server.start()
        server.config.update({"log": {"level": "warn"}, "calls_max": 7})
        server.command() # writes the file
        server.signal(signal.SIGHUP)
        r.check(server.said("configuration was read; these wait for a restart: calls_max$", 20),
                "SIGHUP: the log does not name calls_max")
        server.restart_log()
        server.config.update({"log": {"level": "debug"}, "calls_max": "many"})
        server.command()
        server.signal(signal.SIGHUP)
        said = server.said("calls_max.*the configuration before it stays$", 20)
        r.check(len(said) == 1, f"SIGHUP with a bad file: {said}")
        time.sleep(0.5)
        loud = [x for x in server.log_of_process() if x["level"] in ("debug", "info")]
        r.check(not loud, f"SIGHUP: log.level did not change, or not stay: {loud[:1]}")
        r.check(server.stop() == 0, "SIGHUP: the server did not end in order")


def try_threads(r, folder):
    """Whichever thread cannot be started, those before it end as well."""
    if not r.check(shutil.which("strace"), "strace is missing"):
        return
    for number in (1, 2, 4, 5, 6): # the log's, lanes', the shards'
        server = server_of(folder, f"thread-{number}", {"shards": 2})
        refused(r, f"thread {number} refused",
                ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3", "-e",
                 f"inject=clone3:error=EAGAIN:when={number}", *server.command()],
                "^cannot start .*thread: Resource temporarily unavailable$")


def try_usage(r):
    for arguments, code in ((["--nonsense"], 2), (["surplus"], 2), (["--help"], 0),
                            (["--version"], 0), (["--check-config"], 0)):
        done = subprocess.run([program("sidetone"), *arguments], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=REFUSED_S, check=False)
        r.check(done.returncode == code, f"{arguments}: exit code {done.returncode}")
        r.check(bool(done.stdout) == (code == 0) and bool(done.stderr) == (code != 0),
                f"{arguments}: {done.stdout!r} {done.stderr!r}")


def main():
    argparse.ArgumentParser().parse_args()
    r = Result("refusals")
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        try_files(r, folder)
        try_ports(r, folder)
        try_disks(r, folder)
        try_folders(r, folder)
        try_data(r, folder)
        try_reload(r, folder)
        try_threads(r, folder)
        try_usage(r)
    r.finish()


if __name__ == "__main__":
    main()
