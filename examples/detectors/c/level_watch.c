#include "level_watch.h"

#include <stdlib.h>
#include <string.h>

// How fast the level follows: the last twenty windows weigh most.
#define MEMORY 0.05
#define LN_10 2.302585092994046
#define LOG10_2 0.3010299956639812

const char CONFIG_SCHEMA[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"additionalProperties\":false,"
    "\"properties\":{"
    "\"deviations\":{\"type\":\"number\",\"minimum\":1,\"maximum\":100,\"default\":6,"
    "\"description\":\"How many deviations off its level a value must be.\"},"
    "\"warmup\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":100000,\"default\":30,"
    "\"description\":\"Windows of a series that are only learned.\"}}}";

// === configuration ===

// The number behind a key of a flat JSON object, or `usual`. The host has checked that it is a number.
static double config_number(const char *config, size_t length, const char *key, double usual) {
  size_t key_length = strlen(key);
  for (size_t at = 0; at + key_length + 2 < length; at++) {
    if (config[at] != '"' || memcmp(config + at + 1, key, key_length) != 0 || config[at + 1 + key_length] != '"') continue;
    at += key_length + 2;
    while (at < length && (config[at] == ':' || config[at] == ' ' || config[at] == '\n' || config[at] == '\t')) at++;
    double number = 0, scale = 1;
    bool in_fraction = false;
    for (; at < length; at++) {
      if (config[at] == '.') {
        in_fraction = true;
      } else if (config[at] >= '0' && config[at] <= '9') {
        number = number * 10 + (config[at] - '0');
        if (in_fraction) scale *= 10;
      } else {
        break;
      }
    }
    int power = 0;
    if (at + 1 < length && (config[at] == 'e' || config[at] == 'E')) {
      bool is_negative = config[at + 1] == '-';
      for (at += 1 + (config[at + 1] == '-' || config[at + 1] == '+'); at < length && config[at] >= '0' && config[at] <= '9'; at++)
        power = power < 400 ? power * 10 + (config[at] - '0') : power;
      if (is_negative) power = -power;
    }
    number /= scale;
    for (; power > 0; power--) number *= 10;
    for (; power < 0; power++) number /= 10;
    return number;
  }
  return usual;
}

// === lists ===

static bool list_reserve(level_list *list, size_t room) {
  if (room <= list->room) return true;
  size_t larger = list->room * 2 > room ? list->room * 2 : room + 8;
  level *levels = realloc(list->levels, larger * sizeof *levels);
  if (levels == NULL) return false;
  list->levels = levels;
  char(*names)[LONGEST_NAME + 1] = realloc(list->names, larger * sizeof *names);
  if (names == NULL) return false;
  list->names = names;
  list->room = larger;
  return true;
}

static void list_free(level_list *list) {
  free(list->levels);
  free(list->names);
  memset(list, 0, sizeof *list);
}

// The first place whose id (or key) is not below the wanted one.
static size_t place_of_id(const level_list *list, uint32_t id) {
  size_t low = 0, high = list->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (list->levels[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

static size_t place_of_key(const level_list *list, uint64_t key) {
  size_t low = 0, high = list->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (list->levels[middle].key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void list_remove(level_list *list, size_t place) {
  size_t behind = list->count - place - 1;
  memmove(list->levels + place, list->levels + place + 1, behind * sizeof *list->levels);
  memmove(list->names + place, list->names + place + 1, behind * sizeof *list->names);
  list->count--;
}

static void list_insert(level_list *list, size_t place, level level, const char *name, size_t length) {
  if (!list_reserve(list, list->count + 1)) return;
  size_t behind = list->count - place;
  memmove(list->levels + place + 1, list->levels + place, behind * sizeof *list->levels);
  memmove(list->names + place + 1, list->names + place, behind * sizeof *list->names);
  list->levels[place] = level;
  // Not in the middle of a character of UTF-8.
  if (length > LONGEST_NAME) {
    length = LONGEST_NAME;
    while (length > 0 && ((uint8_t)name[length] & 0xc0) == 0x80) length--;
  }
  memcpy(list->names[place], name, length);
  list->names[place][length] = 0;
  list->count++;
}

// Heapsort (Williams 1964).
static void sort_by_key(level_list *list) {
  level *levels = list->levels;
  size_t begin = list->count / 2, end = list->count;
  while (end > 1) {
    if (begin > 0) {
      begin--;
    } else {
      end--;
      level largest = levels[0];
      levels[0] = levels[end];
      levels[end] = largest;
    }
    for (size_t at = begin, child; (child = 2 * at + 1) < end; at = child) {
      if (child + 1 < end && levels[child + 1].key > levels[child].key) child++;
      if (levels[at].key >= levels[child].key) break;
      level lower = levels[at];
      levels[at] = levels[child];
      levels[child] = lower;
    }
  }
}

// === levels ===

static double larger(double a, double b) { return a > b ? a : b; }
static double smaller(double a, double b) { return a < b ? a : b; }

static bool is_finite(double number) { return number - number == 0; }

// The deviation, never less than a thousandth of the level, so that a constant series may move a little.
static double spread(const level *level) {
  return larger(larger(__builtin_sqrt(level->variance), __builtin_fabs(level->mean) / 1000), 1e-9);
}

// Moves the level towards a value; one that is far off counts only as far as it is believed.
static void learn(level *level, double value, const level_watch *watch) {
  if (level->seen >= watch->warmup) {
    double reach = watch->deviations * spread(level);
    value = smaller(larger(value, level->mean - reach), level->mean + reach);
  }
  if (level->seen < UINT32_MAX) level->seen++;
  double weight = larger(1.0 / level->seen, MEMORY), off = value - level->mean;
  level->mean += weight * off;
  level->variance = (1 - weight) * (level->variance + weight * off * off);
  // Numbers near the end of their range leave nothing to compare with: begin anew.
  if (!is_finite(level->mean) || !is_finite(level->variance)) {
    level->seen = 0;
    level->mean = level->variance = 0;
  }
}

// === words ===

static char *append(char *at, const char *end, const char *text) {
  while (*text && at < end) *at++ = *text++;
  return at;
}

// A number with three digits behind the point.
static char *append_number(char *at, const char *end, double value) {
  if (value < 0) {
    at = append(at, end, "-");
    value = -value;
  }
  if (!(value < 1e15)) return append(at, end, "more than 10^15");
  uint64_t thousandths = (uint64_t)(value * 1000 + 0.5);
  char digits[24];
  int count = 0;
  for (uint64_t rest = thousandths; rest > 0 || count < 4; rest /= 10) {
    digits[count++] = (char)('0' + rest % 10);
    if (count == 3) digits[count++] = '.';
  }
  while (count > 0 && at < end) *at++ = digits[--count];
  return at;
}

// === the model ===

void level_watch_init(level_watch *watch, const char *config, size_t length) {
  memset(watch, 0, sizeof *watch);
  watch->deviations = config_number(config, length, "deviations", 6);
  watch->warmup = (uint32_t)config_number(config, length, "warmup", 30);
}

void level_watch_free(level_watch *watch) {
  list_free(&watch->open);
  list_free(&watch->waiting);
}

bool level_watch_restore(level_watch *watch, const uint8_t *bytes, size_t length) {
  size_t count = length / sizeof(level);
  level_list *waiting = &watch->waiting;
  if (length % sizeof(level) != 0 || count > MOST_SERIES || !list_reserve(waiting, count)) return false;
  if (count > 0) memcpy(waiting->levels, bytes, length);
  waiting->count = count;
  for (size_t n = 0; n < count; n++) {
    const level *one = &waiting->levels[n];
    // Whatever is no level is no state.
    if (!(one->variance >= 0) || !is_finite(one->variance) || !is_finite(one->mean) || one->id != 0) return false;
  }
  sort_by_key(waiting);
  for (size_t n = 1; n < count; n++) {
    if (waiting->levels[n - 1].key == waiting->levels[n].key) return false;
  }
  return true;
}

size_t level_watch_saved_size(const level_watch *watch) {
  size_t count = watch->open.count;
  for (size_t n = 0; n < watch->waiting.count; n++) count += watch->waiting.levels[n].id == 0;
  return count * sizeof(level);
}

void level_watch_save(const level_watch *watch, uint8_t *bytes) {
  for (size_t n = 0; n < watch->open.count; n++, bytes += sizeof(level)) {
    level one = watch->open.levels[n];
    // Ids mean nothing after a restart.
    one.id = 0;
    memcpy(bytes, &one, sizeof one);
  }
  for (size_t n = 0; n < watch->waiting.count; n++) {
    if (watch->waiting.levels[n].id != 0) continue;
    memcpy(bytes, &watch->waiting.levels[n], sizeof(level));
    bytes += sizeof(level);
  }
}

void level_watch_open(level_watch *watch, uint32_t id, uint64_t key, const char *name, size_t length) {
  level one = {.key = key, .id = id};
  size_t place = place_of_id(&watch->open, id);
  if (place < watch->open.count && watch->open.levels[place].id == id) {
    // A known series whose description changed keeps its level.
    one = watch->open.levels[place];
    one.key = key;
    list_remove(&watch->open, place);
  } else {
    size_t kept = place_of_key(&watch->waiting, key);
    if (kept < watch->waiting.count && watch->waiting.levels[kept].key == key && watch->waiting.levels[kept].id == 0) {
      one = watch->waiting.levels[kept];
      one.id = id;
      // It waits no longer.
      watch->waiting.levels[kept].id = 1;
    }
  }
  if (watch->open.count < MOST_SERIES) list_insert(&watch->open, place, one, name, length);
}

void level_watch_close(level_watch *watch, uint32_t id) {
  size_t place = place_of_id(&watch->open, id);
  if (place < watch->open.count && watch->open.levels[place].id == id) list_remove(&watch->open, place);
}

double level_watch_observe(level_watch *watch, uint32_t id, double value, level_finding *finding) {
  finding->kind = NULL;
  size_t place = place_of_id(&watch->open, id);
  if (place >= watch->open.count || watch->open.levels[place].id != id) return __builtin_nan("");
  level *level = &watch->open.levels[place];
  double score = __builtin_nan("");
  if (level->seen >= watch->warmup) {
    double off = (value - level->mean) / spread(level);
    // At most so much of a normal distribution lies farther out: 2 exp(-off^2 / 2), Chernoff's bound.
    if (off == off) score = smaller(larger(off * off / (2 * LN_10) - LOG10_2, 0), 16);
    if (__builtin_fabs(off) > watch->deviations) {
      double reach = watch->deviations * spread(level);
      finding->kind = value > level->mean ? "spike" : "dip";
      finding->expected = level->mean;
      finding->lower = level->mean - reach;
      finding->upper = level->mean + reach;
      const char *end = finding->summary + LONGEST_SUMMARY - 1;
      char *at = append(finding->summary, end, watch->open.names[place]);
      at = append_number(append(at, end, " is "), end, value);
      at = append_number(append(at, end, ", expected about "), end, level->mean);
      *at = 0;
    }
  }
  learn(level, value, watch);
  return score;
}

uint64_t level_watch_hash(uint64_t hash, const uint8_t *bytes, size_t length) {
  if (hash == 0) hash = 0xcbf29ce484222325;
  for (size_t n = 0; n < length; n++) hash = (hash ^ bytes[n]) * 0x100000001b3;
  // 0xff never stands in UTF-8, so it parts what is fed one after the other.
  return (hash ^ 0xff) * 0x100000001b3;
}
