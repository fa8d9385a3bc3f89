"""What the rule must find in the recording, and what it must leave alone."""

import csv
import json
import math
import pathlib
import unittest

from level_watch import CONFIG_SCHEMA, LevelWatch

RECORDING = pathlib.Path(__file__).with_name("recording.csv")
# Rows in which the queue is too long.
FAULT = range(180, 192)


def play(model, restart_at=None):
    """Plays the recording; gives the rows and kinds of what was found, and all scores."""
    found, scores = [], []
    with open(RECORDING, newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            names = [name for name in row if name != "time"]
            if number == restart_at:
                model = LevelWatch("{}", model.snapshot())
            if number in (0, restart_at):
                for id, name in enumerate(names):
                    model.open_series(id, name, name)
            for id, name in enumerate(names):
                score, finding = model.observe(id, float(row[name]))
                scores.append(score)
                if finding:
                    found.append((number, name, finding["kind"]))
    return found, scores


class LevelWatchTest(unittest.TestCase):
    def test_the_long_queue_is_found_and_nothing_before_it(self):
        found, _ = play(LevelWatch())
        self.assertEqual(found[0], (FAULT.start, "queue.depth", "spike"))
        self.assertTrue(all(number in FAULT for number, _, kind in found if kind == "spike"))

    def test_a_restart_changes_nothing(self):
        straight, restarted = play(LevelWatch()), play(LevelWatch(), restart_at=120)
        self.assertEqual(straight[0], restarted[0])
        self.assertEqual(repr(straight[1]), repr(restarted[1]))

    def test_the_defaults_are_those_of_the_schema(self):
        model, properties = LevelWatch(), CONFIG_SCHEMA["properties"]
        self.assertEqual(model.deviations, properties["deviations"]["default"])
        self.assertEqual(model.warmup, properties["warmup"]["default"])
        self.assertEqual(LevelWatch(json.dumps({"warmup": 5})).warmup, 5)

    def test_unknown_series_have_no_score(self):
        self.assertTrue(math.isnan(LevelWatch().observe(7, 1.0)[0]))


if __name__ == "__main__":
    unittest.main()
