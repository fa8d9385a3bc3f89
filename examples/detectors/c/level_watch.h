// What this detector knows: tells when a series leaves its usual level. Plain C, tested on the machine it is written on.
//
// The rule is a simple one, to be replaced by yours: a moving mean and deviation for each series, and a finding where a value is
// more than `deviations` deviations off.

#ifndef LEVEL_WATCH_H
#define LEVEL_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Series followed per service; further ones get no score.
#define MOST_SERIES 10000
#define LONGEST_NAME 96
#define LONGEST_SUMMARY 256

// JSON Schema of the configuration.
extern const char CONFIG_SCHEMA[];

// What was learned of one series; this is what is saved.
typedef struct {
  uint64_t key;
  uint32_t seen;
  uint32_t id;
  double mean;
  double variance;
} level;

typedef struct {
  level *levels;
  char (*names)[LONGEST_NAME + 1];
  size_t count, room;
} level_list;

// The model of one service: open series in ascending order of the id, and those that were restored in ascending order of the
// key, which wait for their series while their id is 0.
typedef struct {
  double deviations;
  uint32_t warmup;
  level_list open, waiting;
} level_watch;

// What was found; `kind` is NULL where nothing was.
typedef struct {
  const char *kind;
  double expected, lower, upper;
  char summary[LONGEST_SUMMARY];
} level_finding;

// A model from its configuration, a JSON object that the host has checked.
void level_watch_init(level_watch *watch, const char *config, size_t length);
void level_watch_free(level_watch *watch);

// Goes on from what `level_watch_save` wrote; false if it is of no use.
bool level_watch_restore(level_watch *watch, const uint8_t *bytes, size_t length);
size_t level_watch_saved_size(const level_watch *watch);
void level_watch_save(const level_watch *watch, uint8_t *bytes);

// A series begins, or is found again by its key after a restart under another id.
void level_watch_open(level_watch *watch, uint32_t id, uint64_t key, const char *name, size_t length);
// A series went away; its id may come back as another one.
void level_watch_close(level_watch *watch, uint32_t id);
// Judges one value and learns from it; gives the score, NaN where there is none.
double level_watch_observe(level_watch *watch, uint32_t id, double value, level_finding *finding);

// A hash for finding a series again (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/). Begin with 0.
uint64_t level_watch_hash(uint64_t hash, const uint8_t *bytes, size_t length);

#endif
