// What this detector knows: tells when a series leaves its usual level. Plain JavaScript, tested with `node --test`.
//
// The rule is a simple one, to be replaced by yours: a moving mean and deviation for each series, and a finding where a value
// is more than `deviations` deviations off.

// How fast the level follows: the last twenty windows weigh most.
const MEMORY = 0.05;
// Series followed per service; further ones get no score.
const MOST_SERIES = 10_000;

export const CONFIG_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  additionalProperties: false,
  properties: {
    deviations: {
      type: "number",
      minimum: 1,
      maximum: 100,
      default: 6,
      description: "How many deviations off its level a value must be.",
    },
    warmup: {
      type: "integer",
      minimum: 2,
      maximum: 100000,
      default: 30,
      description: "Windows of a series that are only learned.",
    },
  },
};

/** What was learned of one series. */
class Level {
  constructor(seen = 0, mean = 0, variance = 0) {
    this.seen = seen;
    this.mean = mean;
    this.variance = variance;
  }

  /** The deviation, never less than a thousandth of the level, so that a constant series may move a little. */
  spread() {
    return Math.max(Math.sqrt(this.variance), Math.abs(this.mean) / 1000, 1e-9);
  }

  /** Moves the level towards a value; one that is far off counts only as far as it is believed. */
  learn(value, deviations, warmup) {
    if (this.seen >= warmup) {
      const reach = deviations * this.spread();
      value = Math.min(Math.max(value, this.mean - reach), this.mean + reach);
    }
    this.seen += 1;
    const weight = Math.max(1 / this.seen, MEMORY);
    const off = value - this.mean;
    this.mean += weight * off;
    this.variance = (1 - weight) * (this.variance + weight * off * off);
    if (!Number.isFinite(this.mean) || !Number.isFinite(this.variance)) {
      // Numbers near the end of their range leave nothing to compare with: begin anew.
      this.seen = this.mean = this.variance = 0;
    }
  }
}

/** The model of one service. */
export class LevelWatch {
  constructor(config = "{}", saved = null) {
    const { deviations = 6, warmup = 30 } = JSON.parse(config || "{}");
    this.deviations = deviations;
    this.warmup = warmup;
    this.levels = new Map();
    // What a restart brought back waits under the series' description until the series is opened.
    this.waiting = new Map(saved === null ? [] : JSON.parse(saved).map(([key, level]) => [key, new Level(...level)]));
  }

  /** A series begins, or is found again after a restart under another id. */
  openSeries(id, key, name) {
    const known = this.levels.get(id);
    if (known) {
      // A known series whose description changed keeps its level.
      this.levels.set(id, { key, name, level: known.level });
    } else if (this.levels.size < MOST_SERIES) {
      this.levels.set(id, { key, name, level: this.waiting.get(key) ?? new Level() });
      this.waiting.delete(key);
    }
  }

  /** A series went away; its id may come back as another one. */
  closeSeries(id) {
    this.levels.delete(id);
  }

  /** Judges one value and learns from it: the score, and a finding where there is one. */
  observe(id, value) {
    const known = this.levels.get(id);
    if (!known) return [NaN, undefined];
    const { level, name } = known;
    let score = NaN;
    let finding;
    if (level.seen >= this.warmup) {
      const off = (value - level.mean) / level.spread();
      // At most so much of a normal distribution lies farther out: 2 exp(-off^2 / 2), Chernoff's bound.
      score = Math.min(Math.max((off * off) / (2 * Math.LN10) - Math.log10(2), 0), 16);
      if (Math.abs(off) > this.deviations) {
        const reach = this.deviations * level.spread();
        // Numbers near the end of their range leave no room for bounds.
        const known = Number.isFinite(level.mean - reach) && Number.isFinite(level.mean + reach);
        finding = {
          kind: value > level.mean ? "spike" : "dip",
          score,
          observed: value,
          expected: level.mean,
          lower: known ? level.mean - reach : undefined,
          upper: known ? level.mean + reach : undefined,
          summary: `${name.slice(0, 96)} is ${value.toPrecision(4)}, expected about ${level.mean.toPrecision(4)}`,
        };
      }
    }
    level.learn(value, this.deviations, this.warmup);
    return [score, finding];
  }

  /** What was learned, by description: ids mean nothing after a restart. */
  snapshot() {
    const known = new Map(this.waiting);
    for (const { key, level } of this.levels.values()) known.set(key, level);
    const inOrder = [...known].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return JSON.stringify(inOrder.map(([key, level]) => [key, [level.seen, level.mean, level.variance]]));
  }
}
