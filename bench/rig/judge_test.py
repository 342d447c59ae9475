"""What medians and verdicts come to; the gate's `bench` runs it."""
import unittest

from rig import judge


def step(calls, cpu, held=1):
    return {"calls_asked": calls, "calls": calls, "server_cpu_pct": cpu, "us_per_pair": cpu / 10,
            "late_slots_per_100k": 0, "held": held, "response": None}


def run(*steps):
    return {"rtp": {"steps": list(steps), "own_bytes_per_call": None}}


GOOD = {"calls_asked": 9, "calls": 9, "late_slots_per_100k": 1000, "wrong_audio": 0,
        "broken_audio": 0, "unanswered": 0, "unasked": 0, "harness_lost": 0, "server_cpu_pct": 90,
        "harness_cpu_pct": 90}


class Judged(unittest.TestCase):
    def test_figures_are_medians(self):
        found = judge.middle([run(step(1, 10)), run(step(1, 50)), run(step(1, 11))])
        self.assertEqual(found["rtp"]["steps"][0]["server_cpu_pct"], 11)
        self.assertEqual(judge.costs(found, "rtp"), {1: 1.1})

    def test_one_bad_run_of_three_is_outvoted_two_are_not(self):
        bad = step(2, 99, 0)
        found = judge.middle([run(step(1, 9), step(2, 20)), run(step(1, 9), bad),
                              run(step(1, 9), step(2, 21))])
        self.assertEqual(judge.largest(found, "rtp")["calls"], 2)
        found = judge.middle([run(step(1, 9), step(2, 20)), run(step(1, 9), bad),
                              run(step(1, 9), bad)])
        self.assertEqual(judge.largest(found, "rtp")["calls"], 1)

    def test_a_step_that_a_run_never_reached_was_not_held_by_it(self):
        found = judge.middle([run(step(1, 9), step(2, 20)), run(step(1, 9), step(2, 20, 0)),
                              run(step(1, 9), step(2, 20)), run(step(1, 9)), run(step(1, 9))])
        self.assertEqual(len(found["rtp"]["steps"]), 2)
        self.assertEqual(judge.largest(found, "rtp")["calls"], 1)

    def test_what_was_not_measured_is_none_and_what_was_not_held_nothing(self):
        found = judge.middle([run(step(1, 99, 0))])
        self.assertIsNone(judge.largest(found, "twilio")["calls"])
        self.assertEqual(judge.largest(found, "rtp")["calls"], 0)
        self.assertIsNone(found["rtp"]["own_bytes_per_call"])

    def test_ratios_want_more_than_half_of_the_runs(self):
        found = judge.most_of([{"a": 1, "b": None}, {"a": 4, "b": 1}, {"a": None, "b": None}])
        self.assertEqual(found, {"a": 2.5, "b": None})

    def test_each_failing_makes_a_step_not_held(self):
        self.assertTrue(judge.held(GOOD))
        for change in ({"calls": 8}, {"late_slots_per_100k": 1001}, {"wrong_audio": 1},
                       {"broken_audio": 1}, {"unanswered": 1}, {"unasked": 1}, {"harness_lost": 1},
                       {"server_cpu_pct": 91}, {"harness_cpu_pct": 91}, {"providers_cpu_pct": 1}):
            self.assertFalse(judge.held({**GOOD, **change}), change)


if __name__ == "__main__":
    unittest.main()
