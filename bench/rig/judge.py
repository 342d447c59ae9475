"""What measurements are worth: which steps were held, medians of runs, ratios."""
import statistics

BUSY_PCT, LATE_MOST = 90, 1000
NOTHING = {"calls": 0, "server_cpu_pct": None, "late_slots_per_100k": None}


def held(step):
    """Whether the figures of a step are the server's own: every call up, every check passed, and
    neither the server nor the harness out of time. A relay may be late, but not lose packets."""
    late = (step["missing_slots"] * 1e5 / max(1, step["slots"]) if step.get("relay") else
            step["late_slots_per_100k"])
    return (step["calls"] == step["calls_asked"] and late <= LATE_MOST and
            not (step["wrong_audio"] or step["broken_audio"] or step["unanswered"] or
                 step["unasked"] or step["harness_lost"]) and
            (step["server_cpu_pct"] or 0) <= BUSY_PCT and
            step["harness_cpu_pct"] + step.get("providers_cpu_pct", 0) <= BUSY_PCT)


def by_size(runs):
    """Medians of steps, each of those runs that took it, and verdicts as shares of all runs: a
    climb may end sooner in one than in another. Steps of fewer than half of them are left out."""
    sizes = {}
    for steps in runs:
        for step in steps:
            sizes.setdefault(step["calls_asked"], []).append(step)
    found = []
    for _, taken in sorted(sizes.items()):
        if 2 * len(taken) > len(runs):
            shares = {key: sum(step[key] for step in taken) / len(runs)
                      for key in ("held", "loose") if key in taken[0]}
            found.append({**middle(taken), **shares})
    return found


def middle(runs):
    """Median of every figure over runs; what is no number is the first one's that has it."""
    known = [r for r in runs if r is not None]
    first = known[0] if known else None
    if isinstance(first, dict):
        keys = dict.fromkeys(k for r in known for k in r)
        return {k: middle([r.get(k) for r in known]) for k in keys}
    if isinstance(first, list) and any("calls_asked" in x for x in first if isinstance(x, dict)):
        return by_size(known)
    numbers = [r for r in known if isinstance(r, (int, float)) and not isinstance(r, bool)]
    return statistics.median(numbers) if numbers else first


def most_of(runs):
    """Medians of what more than half of the runs could tell; None of the rest."""
    known = {key: [r[key] for r in runs if r[key] is not None] for key in runs[0]}
    return {key: round(statistics.median(values), 3) if 2 * len(values) > len(runs) else None
            for key, values in known.items()}


def was_held(step):
    """Of a step with its verdict in it; of medians: by more than half of the runs."""
    return step["held"] > 0.5


def steps_of(found, name):
    return found[name]["steps"] if name in found else []


def largest(found, name):
    """The step of most calls that was held: of none, no calls; not measured, None."""
    if name not in found:
        return dict.fromkeys(NOTHING)
    good = [step for step in steps_of(found, name) if was_held(step)]
    return max(good, key=lambda step: step["calls_asked"]) if good else NOTHING


def ratio(a, b):
    return round(a / b, 3) if a and b and a > 0 and b > 0 else None


def costs(found, name):
    """us per packet pair by number of calls, where the step was held."""
    return {s["calls_asked"]: s["us_per_pair"] for s in steps_of(found, name) if was_held(s)}


def at_most_calls(a, b):
    """The ratio of two costs at the largest number of calls that both held."""
    both = max(set(a) & set(b), default=None)
    return ratio(a.get(both), b.get(both))
