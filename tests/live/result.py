"""What a proof found: checks as they are made, and the last line."""

import json
import sys
import time


class Result:
    def __init__(self, name):
        self.name = name
        self.began = time.monotonic()
        self.failures = []
        self.checks = 0
        self.facts = {}

    def check(self, holds, what):
        """Counts one check; a failed one is told at once."""
        self.checks += 1
        if not holds:
            self.failures.append(what)
            print(f"FAILED: {what}", flush=True)
        return bool(holds)

    def take(self, part):
        """Counts what a part of the proof checked on its own."""
        self.checks += part.checks
        self.failures += [f"{part.name}: {what}" for what in part.failures]

    def tell(self, what):
        print(what, flush=True)

    def finish(self):
        """Prints the last line and ends the program."""
        print(json.dumps({"prove": self.name, "holds": not self.failures, "checks": self.checks,
                          "failed": len(self.failures), **self.facts,
                          "took_s": round(time.monotonic() - self.began, 1),
                          "failures": self.failures[:10]}), flush=True)
        sys.exit(bool(self.failures))


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values, percent):
    """By nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
