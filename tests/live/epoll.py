"""The same call where io_uring is refused by the kernel, and where the configuration says epoll."""

import argparse
import shutil
import tempfile

from tests.live import latency
from tests.live.result import Result
from tests.live.server import Server

REFUSED = ["strace", "-f", "-qq", "-e", "trace=io_uring_setup", "-e",
           "inject=io_uring_setup:error=ENOSYS", "-o", "/dev/null"]


def one(r, name, o, config=None, prefix=(), warnings=0):
    kept = r.facts
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        with Server(folder, config, prefix=prefix) as server:
            server.start()
            # Under strace each new thread is stopped for a moment: waiting is not judged then.
            latency.run(r, server, folder, o.calls, o.protocol, not (prefix or o.relaxed))
            said = server.said("io_uring is refused")
            r.check(len(said) == warnings and all(x["level"] == "warn" for x in said),
                    f"{name}: {len(said)} lines about io_uring, not {warnings}")
            r.check(server.stop() == 0, f"{name}: the server did not end in order")
            r.check(not server.errors(), f"{name}: {server.errors()}")
    r.facts = {**kept, name: r.facts}
    r.tell(f"{name}: {r.facts[name]}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=3)
    options.add_argument("--protocol", default="twilio")
    options.add_argument("--relaxed", action="store_true", help="do not judge any time")
    o = options.parse_args()
    r = Result("epoll")
    if r.check(shutil.which("strace"), "strace is missing"):
        one(r, "refused", o, prefix=REFUSED, warnings=1)
    one(r, "configured", o, {"io": "epoll"})
    r.finish()


if __name__ == "__main__":
    main()
