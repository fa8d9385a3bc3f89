// What the rule must find in the recording, and what it must leave alone.

#include "level_watch.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Rows in which the queue is too long.
enum { FIRST = 180, LAST = 191, ROWS = 240 };

static const char *const NAMES[] = {"queue.depth", "orders"};

static void open_series(level_watch *watch) {
  for (uint32_t id = 0; id < 2; id++) {
    uint64_t key = level_watch_hash(0, (const uint8_t *)NAMES[id], strlen(NAMES[id]));
    level_watch_open(watch, id, key, NAMES[id], strlen(NAMES[id]));
  }
}

// Plays the recording, possibly with a restart before a row, and gives all scores.
static void play(int restart_at, double scores[ROWS][2]) {
  FILE *file = fopen("recording.csv", "r");
  assert(file != NULL);
  char line[128];
  assert(fgets(line, sizeof line, file) != NULL);
  level_watch watch;
  level_watch_init(&watch, "{}", 2);
  open_series(&watch);
  for (int row = 0; row < ROWS; row++) {
    double values[2];
    assert(fgets(line, sizeof line, file) != NULL && sscanf(line, "%*[^,],%lf,%lf", &values[0], &values[1]) == 2);
    if (row == restart_at) {
      size_t size = level_watch_saved_size(&watch);
      uint8_t *saved = malloc(size);
      level_watch_save(&watch, saved);
      level_watch_free(&watch);
      level_watch_init(&watch, "{}", 2);
      assert(level_watch_restore(&watch, saved, size));
      free(saved);
      open_series(&watch);
    }
    for (uint32_t id = 0; id < 2; id++) {
      level_finding finding;
      scores[row][id] = level_watch_observe(&watch, id, values[id], &finding);
      if (row < FIRST) assert(finding.kind == NULL);
      if (row == FIRST && id == 0) assert(strcmp(finding.kind, "spike") == 0 && finding.upper < values[0]);
    }
  }
  level_watch_free(&watch);
  fclose(file);
}

int main(void) {
  static double straight[ROWS][2], restarted[ROWS][2];
  play(-1, straight);
  play(120, restarted);
  assert(memcmp(straight, restarted, sizeof straight) == 0);

  level_watch watch;
  const char config[] = "{\"warmup\": 12, \"deviations\":2.5e0}";
  level_watch_init(&watch, config, strlen(config));
  assert(watch.warmup == 12 && watch.deviations == 2.5);
  assert(!level_watch_restore(&watch, (const uint8_t *)"garbage", 7));
  level_watch_free(&watch);
  puts("the long queue is found, a restart changes nothing");
  return 0;
}
