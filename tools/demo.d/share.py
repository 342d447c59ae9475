"""Where the time of an answer went: what the providers took and what the server added. Every
instant is one that the caller or a simulated provider wrote down itself, on the one monotonic clock
of the machine; the server is asked nothing. docs/simulated-providers.md defines the parts."""
import json

FRAME_MS = 20  # the caller sends its sound in frames of so much
ROUNDED_MS = 1  # the caller tells whole ones, rounded down
HEARS, ANSWERS, SPEAKS = "deepgram.listen", "openai.chat", "cartesia.tts"


def percentile(values, percent):
    """By nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def read_log(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def pick(log, service, event, after=float("-inf"), before=float("inf")):
    return [e for e in log if e.get("service") == service and e["event"] == event
            and after <= e["at_ms"] <= before]


def token_of(event):
    """The words in one event of the language model's answer."""
    try:
        delta = json.loads(event["text"].removeprefix("data: "))["choices"][0]["delta"]
        return delta.get("content") or ""
    except (KeyError, IndexError, ValueError):
        return ""


def clause_known(tokens, clause):
    """When the token was sent with which this clause was complete, or the answer's end: a sentence
    is over with the blank behind it, since "3." may become "3.5"."""
    so_far = ""
    for event in tokens:
        so_far += token_of(event)
        if so_far.startswith(clause.rstrip()) and len(so_far) >= len(clause):
            return event["at_ms"]
    return tokens[-1]["at_ms"] if so_far.rstrip() == clause.rstrip() else None


def hearing(log, end, end_of_turn_ms):
    """(the result's instant, the recogniser's own time, the agent's patience, what its sound waited
    with us and so made the result late)."""
    result = [e for e in pick(log, HEARS, "sent", end["at_ms"])
              if e["due_ms"] == end["due_ms"]][0]["at_ms"]
    if end["asked"]:
        return result, result - end["at_ms"], end["at_ms"] - end["voiced_ms"], 0
    without = max(end["voiced_ms"] + end_of_turn_ms, end["at_ms"] - end["waited_ms"])
    waited = min(end["waited_ms"], max(0, result - without))
    return result, result - end["voiced_ms"] - waited, 0, waited


def share(log, began_ms, said_to_ms, answer_at_ms, end_of_turn_ms):
    """The parts of one answer, in ms, or None if it cannot be told."""
    said, heard = began_ms + said_to_ms, began_ms + answer_at_ms + ROUNDED_MS
    try:
        request = pick(log, ANSWERS, "request", said, heard)[-1]
        end = pick(log, HEARS, "speech ends", said - 1000, request["at_ms"])[-1]
        asked = pick(log, SPEAKS, "speaks", request["at_ms"], heard)[0]
        sound = pick(log, SPEAKS, "sent", asked["at_ms"], heard)[0]["at_ms"]
        result, recogniser, patience, waited = hearing(log, end, end_of_turn_ms)
        tokens = [e for e in pick(log, ANSWERS, "sent", request["at_ms"])
                  if e["request"] == request["request"]]
        clause = clause_known(tokens, asked["text"])
    except IndexError:
        return None
    if clause is None:
        return None
    transit = 0 if end["asked"] else (end["at_ms"] - began_ms) % FRAME_MS
    own = {"to_recogniser": transit + waited, "to_model": request["at_ms"] - result,
           "to_voice": asked["at_ms"] - clause, "to_caller": heard - sound}
    theirs = {"recogniser": recogniser, "model": clause - request["at_ms"],
              "voice": sound - asked["at_ms"]}
    total = answer_at_ms - said_to_ms
    known = sum(own.values()) + sum(theirs.values()) + patience
    return {"own_ms": round(sum(own.values()), 1), "providers_ms": round(sum(theirs.values()), 1),
            "patience_ms": round(patience, 1), "voice_ms": round(total - known, 1),
            "own": {k: round(v, 1) for k, v in own.items()},
            "providers": {k: round(v, 1) for k, v in theirs.items()}}
