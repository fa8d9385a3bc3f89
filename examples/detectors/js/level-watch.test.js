// What the rule must find in the recording, and what it must leave alone.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CONFIG_SCHEMA, LevelWatch } from "./level-watch.js";

const [header, ...rows] = readFileSync(new URL("recording.csv", import.meta.url), "utf8").trim().split("\n");
const names = header.split(",").slice(1);
// Rows in which the queue is too long.
const FAULT = { from: 180, to: 192 };

/** Plays the recording; gives what was found and all scores. */
function play(restartAt) {
  let model = new LevelWatch();
  const found = [];
  const scores = [];
  rows.forEach((row, number) => {
    if (number === restartAt) model = new LevelWatch("{}", model.snapshot());
    if (number === 0 || number === restartAt) names.forEach((name, id) => model.openSeries(id, name, name));
    row.split(",").slice(1).forEach((value, id) => {
      const [score, finding] = model.observe(id, Number(value));
      scores.push(score);
      if (finding) found.push([number, names[id], finding.kind]);
    });
  });
  return { found, scores };
}

test("the long queue is found, and nothing before it", () => {
  const { found } = play();
  assert.deepEqual(found[0], [FAULT.from, "queue.depth", "spike"]);
  assert.ok(found.every(([number, , kind]) => kind !== "spike" || number < FAULT.to));
});

test("a restart changes nothing", () => {
  assert.deepEqual(play(), play(120));
});

test("the defaults are those of the schema", () => {
  const model = new LevelWatch();
  assert.equal(model.deviations, CONFIG_SCHEMA.properties.deviations.default);
  assert.equal(model.warmup, CONFIG_SCHEMA.properties.warmup.default);
});
