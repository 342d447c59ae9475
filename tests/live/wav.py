"""Reads recordings strictly, and finds how far two of them lie apart."""

import array
import operator
import os
import struct
import wave

HEADER_BYTES = 44


def header_faults(path):
    """What is wrong with the sizes in the header, as sentences."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(HEADER_BYTES)
    faults = []
    if len(head) < HEADER_BYTES or head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt ":
        return [f"{path} has no WAV header"]
    riff, = struct.unpack("<I", head[4:8])
    data, = struct.unpack("<I", head[40:44])
    if riff != size - 8:
        faults.append(f"RIFF size {riff}, file {size}")
    if data != size - HEADER_BYTES:
        faults.append(f"data size {data}, file {size}")
    return faults


def read(path):
    """(rate, one array of int16 for each channel)"""
    with wave.open(path, "rb") as file:
        assert file.getsampwidth() == 2
        samples = array.array("h", file.readframes(file.getnframes()))
        channels = file.getnchannels()
        return file.getframerate(), [samples[i::channels] for i in range(channels)]


def seconds(path):
    with wave.open(path, "rb") as file:
        return file.getnframes() / file.getframerate()


def mono_8k(path):
    """Both sides mixed at 8000 Hz."""
    rate, sides = read(path)
    mixed = list(sides[0]) if len(sides) == 1 else list(map(operator.add, *sides))
    if rate == 16000:
        mixed = [(a + b) / 2 for a, b in zip(mixed[::2], mixed[1::2])]
    elif rate != 8000:
        raise ValueError(f"{rate} Hz")
    return mixed


def _envelope(samples):
    """Mean size per millisecond at 8000 Hz."""
    return [sum(map(abs, samples[i:i + 8])) / 8 for i in range(0, len(samples) - 7, 8)]


def _best(fixed, other, at, lags):
    """(likeness, lag): where `other` moved by lag is most like `fixed`, which begins at `at`."""
    mean = sum(fixed) / len(fixed)
    fixed = [x - mean for x in fixed]
    own = sum(x * x for x in fixed) or 1
    best = (-2.0, 0)
    for lag in lags:
        begin = at + lag
        if begin < 0 or begin + len(fixed) > len(other):
            continue
        part = other[begin:begin + len(fixed)]
        mean = sum(part) / len(part)
        energy = sum(x * x for x in part) - mean * mean * len(part)
        like = sum(map(operator.mul, fixed, part)) / ((own * energy) ** 0.5 or 1)
        best = max(best, (like, lag))
    return best


def lag_ms(ours, theirs, at, samples=8000, within_ms=200):
    """How much later the second at sample `at` of `ours` lies in `theirs`: (ms, likeness). Coarse
    by envelopes of a millisecond, then by samples."""
    window = ours[at:at + samples]
    coarse = _best(_envelope(window), _envelope(theirs), at // 8, range(-within_ms, within_ms + 1))
    middle = coarse[1] * 8
    fine = _best(window, theirs, at, range(middle - 24, middle + 25))
    if fine[0] < 0.5: # the phase may be turned: the envelopes still tell the millisecond
        return float(coarse[1]), coarse[0]
    return fine[1] / 8, fine[0]


def sound_ends(samples, threshold=400):
    """The first and the last sample that can be heard."""
    loud = [i for i in range(0, len(samples), 8) if max(map(abs, samples[i:i + 8])) > threshold]
    return (loud[0], loud[-1]) if loud else (None, None)
