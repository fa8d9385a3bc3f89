"""What this detector knows: tells when a series leaves its usual level. Plain Python, tested without WebAssembly.

The rule is a simple one, to be replaced by yours: a moving mean and deviation for each series, and a finding where a value is
more than `deviations` deviations off.
"""

import json
import math

# How fast the level follows: the last twenty windows weigh most.
MEMORY = 0.05
# Series followed per service; further ones get no score.
MOST_SERIES = 10_000

CONFIG_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "deviations": {
            "type": "number",
            "minimum": 1,
            "maximum": 100,
            "default": 6,
            "description": "How many deviations off its level a value must be.",
        },
        "warmup": {
            "type": "integer",
            "minimum": 2,
            "maximum": 100000,
            "default": 30,
            "description": "Windows of a series that are only learned.",
        },
    },
}


class Level:
    """What was learned of one series."""

    def __init__(self, seen=0, mean=0.0, variance=0.0):
        self.seen = seen
        self.mean = mean
        self.variance = variance

    def spread(self):
        """The deviation, never less than a thousandth of the level, so that a constant series may move a little."""
        return max(math.sqrt(self.variance), abs(self.mean) / 1000, 1e-9)

    def learn(self, value, deviations, warmup):
        """Moves the level towards a value; one that is far off counts only as far as it is believed."""
        if self.seen >= warmup:
            reach = deviations * self.spread()
            value = min(max(value, self.mean - reach), self.mean + reach)
        self.seen += 1
        weight = max(1 / self.seen, MEMORY)
        off = value - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)
        if not math.isfinite(self.mean) or not math.isfinite(self.variance):
            # Numbers near the end of their range leave nothing to compare with: begin anew.
            self.__init__()


class LevelWatch:
    """The model of one service."""

    def __init__(self, config="{}", saved=None):
        settings = json.loads(config or "{}")
        self.deviations = float(settings.get("deviations", 6))
        self.warmup = int(settings.get("warmup", 30))
        self.levels = {}
        self.names = {}
        # What a restart brought back waits under the series' description until the series is opened.
        self.waiting = {key: Level(*level) for key, level in json.loads(saved)} if saved else {}

    def open_series(self, id, key, name):
        """A series begins, or is found again after a restart under another id."""
        if id in self.names:
            # A known series whose description changed keeps its level.
            self.names[id] = (key, name)
        elif len(self.levels) < MOST_SERIES:
            self.names[id] = (key, name)
            self.levels[id] = self.waiting.pop(key, None) or Level()

    def close_series(self, id):
        """A series went away; its id may come back as another one."""
        self.names.pop(id, None)
        self.levels.pop(id, None)

    def observe(self, id, value):
        """Judges one value and learns from it: the score, and a finding as a dictionary or None."""
        level = self.levels.get(id)
        if level is None:
            return math.nan, None
        score, finding = math.nan, None
        if level.seen >= self.warmup:
            off = (value - level.mean) / level.spread()
            # At most so much of a normal distribution lies farther out: 2 exp(-off^2 / 2), Chernoff's bound.
            score = min(max(off * off / (2 * math.log(10)) - math.log10(2), 0), 16)
            if abs(off) > self.deviations:
                finding = self.finding(id, value, level, score)
        level.learn(value, self.deviations, self.warmup)
        return score, finding

    def finding(self, id, value, level, score):
        reach = self.deviations * level.spread()
        name = self.names[id][1][:96]
        # Numbers near the end of their range leave no room for bounds.
        known = math.isfinite(level.mean - reach) and math.isfinite(level.mean + reach)
        return {
            "kind": "spike" if value > level.mean else "dip",
            "score": score,
            "observed": value,
            "expected": level.mean,
            "lower": level.mean - reach if known else None,
            "upper": level.mean + reach if known else None,
            "summary": f"{name} is {value:.4g}, expected about {level.mean:.4g}",
        }

    def snapshot(self):
        """What was learned, by description: ids mean nothing after a restart."""
        known = {key: level for key, level in self.waiting.items()}
        known.update((self.names[id][0], level) for id, level in self.levels.items())
        return json.dumps([[key, [level.seen, level.mean, level.variance]] for key, level in sorted(known.items())])
