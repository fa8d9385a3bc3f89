"""Between Foreshock's contract (wit/detector.wit) and the plain Python of level_watch.py."""

import json
import math

from componentize_py_types import Err
from level_watch import CONFIG_SCHEMA, LevelWatch
from wit_world import exports
from wit_world.imports import types

NAME = "level-watch"
VERSION = "0.1.0"
# Raise it whenever the layout of what `snapshot` writes changes.
STATE_SCHEMA = 1


class Detector(exports.Detector):
    def describe(self) -> types.About:
        kinds = [types.Kind.GAUGE, types.Kind.RATE, types.Kind.QUANTILE, types.Kind.SPAN_RATE, types.Kind.SPAN_DURATION]
        return types.About(NAME, VERSION, json.dumps(CONFIG_SCHEMA), STATE_SCHEMA, 30, kinds)


def refused(fault):
    """Fills what a call answers when it can't do its work."""
    return Err(fault)


class Model:
    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def open(cls, setup, saved):
        if saved is None:
            return cls(LevelWatch(setup.config))
        if saved.schema != STATE_SCHEMA:
            raise refused(types.Fault_BadState(f"the state has schema {saved.schema}, this version reads {STATE_SCHEMA}"))
        try:
            return cls(LevelWatch(setup.config, bytes(saved.bytes).decode()))
        except (ValueError, TypeError) as error:
            raise refused(types.Fault_BadState(f"the state can't be read: {error}"))

    def observe(self, window):
        for id in window.closed:
            self.inner.close_series(id)
        for series in window.opened:
            key = json.dumps([series.name, series.kind.value, series.attributes])
            self.inner.open_series(series.id, key, series.name)
        scores, findings = [], []
        for id, value in zip(window.ids, window.values):
            score, found = self.inner.observe(id, value)
            scores.append(score)
            if found and len(findings) < 256:
                findings.append(
                    types.Finding(
                        ids=[id],
                        kind=found["kind"],
                        severity=types.Severity.WARNING,
                        score=score,
                        observed=found["observed"],
                        expected=found["expected"],
                        lower=found["lower"],
                        upper=found["upper"],
                        forecast=None,
                        summary=found["summary"],
                        evidence=[],
                    )
                )
        return types.Verdict(scores, findings)

    def snapshot(self):
        return types.State(STATE_SCHEMA, self.inner.snapshot().encode())
