"""The same call where io_uring is refused by the kernel, and where the configuration says epoll."""

import argparse
import shutil
import tempfile
from concurrent import futures

from tests.live import latency
from tests.live.result import Result
from tests.live.server import Server

REFUSED = ["strace", "-f", "-qq", "-e", "trace=io_uring_setup", "-e",
           "inject=io_uring_setup:error=ENOSYS", "-o", "/dev/null"]


def one(r, name, o, config=None, prefix=(), warnings=0):
    """Judges a server of its own into `r`."""
    with tempfile.TemporaryDirectory(prefix="sidetone-") as folder:
        with Server(folder, config, prefix=prefix) as server:
            server.start()
            # Under strace each new thread is stopped for a moment: waiting is not judged then.
            latency.run(r, server, folder, o.calls, o.protocol, not (prefix or o.relaxed),
                        o.parallel)
            said = server.said("io_uring is refused")
            r.check(len(said) == warnings and all(x["level"] == "warn" for x in said),
                    f"{name}: {len(said)} lines about io_uring, not {warnings}")
            r.check(server.stop() == 0, f"{name}: the server did not end in order")
            r.check(not server.errors(), f"{name}: {server.errors()}")
    r.tell(f"{name}: {r.facts}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=3)
    options.add_argument("--parallel", type=int, default=1, help="calls at a time")
    options.add_argument("--protocol", default="twilio")
    options.add_argument("--relaxed", action="store_true", help="do not judge any time")
    o = options.parse_args()
    r = Result("epoll")
    halves = {"configured": {"config": {"io": "epoll"}}}
    if r.check(shutil.which("strace"), "strace is missing"):
        halves["refused"] = {"prefix": REFUSED, "warnings": 1}
    results = {name: Result(name) for name in halves}
    # Where no time is judged they need not wait for each other.
    with futures.ThreadPoolExecutor(len(halves) if o.relaxed else 1) as pool:
        for half in [pool.submit(one, results[name], name, o, **how)
                     for name, how in halves.items()]:
            half.result()
    for name, half in results.items():
        r.take(half)
        r.facts[name] = half.facts
    r.finish()


if __name__ == "__main__":
    main()
