// Between Foreshock's contract (wit/detector.wit) and the plain JavaScript of level-watch.js.

import { CONFIG_SCHEMA, LevelWatch } from "./level-watch.js";

const NAME = "level-watch";
const VERSION = "0.1.0";
// Raise it whenever the layout of what `snapshot` writes changes.
const STATE_SCHEMA = 1;

/** What an exported function throws to answer with a fault. */
const badState = (why) => ({ tag: "bad-state", val: why });

// JSON as bytes; other characters than ASCII are written as \uXXXX, which JSON can be read from.
const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
const toBytes = (json) => Uint8Array.from(json.replace(/[^\x00-\x7f]/g, escaped), (character) => character.charCodeAt(0));
const fromBytes = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

class Model {
  constructor(inner) {
    this.inner = inner;
  }

  static open(setup, saved) {
    if (!saved) return new Model(new LevelWatch(setup.config));
    if (saved.schema !== STATE_SCHEMA) {
      throw badState(`the state has schema ${saved.schema}, this version reads ${STATE_SCHEMA}`);
    }
    try {
      return new Model(new LevelWatch(setup.config, fromBytes(saved.bytes)));
    } catch (error) {
      throw badState(`the state can't be read: ${error.message}`);
    }
  }

  observe(window) {
    for (const id of window.closed) this.inner.closeSeries(id);
    for (const { id, name, kind, attributes } of window.opened) {
      this.inner.openSeries(id, JSON.stringify([name, kind, attributes]), name);
    }
    const scores = [];
    const findings = [];
    for (let row = 0; row < window.ids.length; row += 1) {
      const [score, found] = this.inner.observe(window.ids[row], window.values[row]);
      scores.push(score);
      if (found && findings.length < 256) {
        findings.push({ ids: [window.ids[row]], severity: "warning", evidence: [], ...found });
      }
    }
    return { scores, findings };
  }

  snapshot() {
    return { schema: STATE_SCHEMA, bytes: toBytes(this.inner.snapshot()) };
  }
}

export const detector = {
  Model,
  describe() {
    return {
      name: NAME,
      version: VERSION,
      configSchema: JSON.stringify(CONFIG_SCHEMA),
      stateSchema: STATE_SCHEMA,
      warmupWindows: 30,
      kinds: ["gauge", "rate", "quantile", "span-rate", "span-duration"],
    };
  },
};
