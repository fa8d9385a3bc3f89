// Between Foreshock's contract (wit/detector.wit) and the plain C of level_watch.c.
//
// What is returned must lie on the heap: the bindings free it once the host has read it.

#include <stdlib.h>
#include <string.h>

#include "level_watch.h"
#include "plugin.h"

#define NAME "level-watch"
#define VERSION "0.1.0"
// Raise it whenever the layout of what `snapshot` writes changes.
#define STATE_SCHEMA 1
#define MOST_FINDINGS 256

struct exports_foreshock_detector_detector_model_t {
  level_watch watch;
};

static void *need(void *block) {
  if (block == NULL) abort();
  return block;
}

static bool refuse(exports_foreshock_detector_detector_fault_t *fault, const char *why) {
  fault->tag = FORESHOCK_DETECTOR_TYPES_FAULT_BAD_STATE;
  plugin_string_dup(&fault->val.bad_state, why);
  return false;
}

void exports_foreshock_detector_detector_describe(exports_foreshock_detector_detector_about_t *about) {
  static const foreshock_detector_types_kind_t kinds[] = {
      FORESHOCK_DETECTOR_TYPES_KIND_GAUGE,     FORESHOCK_DETECTOR_TYPES_KIND_RATE,          FORESHOCK_DETECTOR_TYPES_KIND_QUANTILE,
      FORESHOCK_DETECTOR_TYPES_KIND_SPAN_RATE, FORESHOCK_DETECTOR_TYPES_KIND_SPAN_DURATION,
  };
  plugin_string_dup(&about->name, NAME);
  plugin_string_dup(&about->version, VERSION);
  plugin_string_dup(&about->config_schema, CONFIG_SCHEMA);
  about->state_schema = STATE_SCHEMA;
  about->warmup_windows = 30;
  about->kinds.len = sizeof kinds;
  about->kinds.ptr = memcpy(need(malloc(sizeof kinds)), kinds, sizeof kinds);
}

bool exports_foreshock_detector_detector_static_model_open(exports_foreshock_detector_detector_setup_t *setup,
                                                           exports_foreshock_detector_detector_state_t *saved,
                                                           exports_foreshock_detector_detector_own_model_t *handle,
                                                           exports_foreshock_detector_detector_fault_t *fault) {
  exports_foreshock_detector_detector_model_t *model = need(malloc(sizeof *model));
  level_watch_init(&model->watch, (const char *)setup->config.ptr, setup->config.len);
  exports_foreshock_detector_detector_setup_free(setup);
  bool is_good = true;
  if (saved != NULL) {
    is_good = saved->schema == STATE_SCHEMA && level_watch_restore(&model->watch, saved->bytes.ptr, saved->bytes.len);
    exports_foreshock_detector_detector_state_free(saved);
  }
  if (!is_good) {
    exports_foreshock_detector_detector_model_destructor(model);
    return refuse(fault, "the state is not one of this version");
  }
  *handle = exports_foreshock_detector_detector_model_new(model);
  return true;
}

void exports_foreshock_detector_detector_model_destructor(exports_foreshock_detector_detector_model_t *model) {
  level_watch_free(&model->watch);
  free(model);
}

// What finds a series again after a restart: its name, kind and attributes.
static uint64_t key_of(const foreshock_detector_types_series_t *series) {
  uint64_t key = level_watch_hash(0, series->name.ptr, series->name.len);
  key = level_watch_hash(key, &series->kind, sizeof series->kind);
  for (size_t n = 0; n < series->attributes.len; n++) {
    const plugin_tuple2_string_string_t *attribute = &series->attributes.ptr[n];
    key = level_watch_hash(key, attribute->f0.ptr, attribute->f0.len);
    key = level_watch_hash(key, attribute->f1.ptr, attribute->f1.len);
  }
  return key;
}

static void tell(foreshock_detector_types_finding_t *told, uint32_t id, double value, double score, const level_finding *found) {
  memset(told, 0, sizeof *told);
  told->ids.ptr = need(malloc(sizeof id));
  told->ids.ptr[0] = id;
  told->ids.len = 1;
  plugin_string_dup(&told->kind, found->kind);
  told->severity = FORESHOCK_DETECTOR_TYPES_SEVERITY_WARNING;
  told->score = score;
  told->observed = (plugin_option_f64_t){true, value};
  // Numbers near the end of their range leave no room for bounds.
  bool is_finite = found->lower - found->lower == 0 && found->upper - found->upper == 0;
  told->expected = (plugin_option_f64_t){is_finite, found->expected};
  told->lower = (plugin_option_f64_t){is_finite, found->lower};
  told->upper = (plugin_option_f64_t){is_finite, found->upper};
  plugin_string_dup(&told->summary, found->summary);
}

bool exports_foreshock_detector_detector_method_model_observe(exports_foreshock_detector_detector_model_t *model,
                                                              exports_foreshock_detector_detector_window_t *window,
                                                              exports_foreshock_detector_detector_verdict_t *verdict,
                                                              exports_foreshock_detector_detector_fault_t *fault) {
  (void)fault;
  level_watch *watch = &model->watch;
  for (size_t n = 0; n < window->closed.len; n++) level_watch_close(watch, window->closed.ptr[n]);
  for (size_t n = 0; n < window->opened.len; n++) {
    const foreshock_detector_types_series_t *series = &window->opened.ptr[n];
    level_watch_open(watch, series->id, key_of(series), (const char *)series->name.ptr, series->name.len);
  }
  size_t rows = window->ids.len;
  memset(verdict, 0, sizeof *verdict);
  verdict->scores.len = rows;
  if (rows > 0) verdict->scores.ptr = need(malloc(rows * sizeof(double)));
  for (size_t n = 0; n < rows; n++) {
    level_finding found;
    double value = window->values.ptr[n];
    double score = level_watch_observe(watch, window->ids.ptr[n], value, &found);
    verdict->scores.ptr[n] = score;
    // Without a score there is nothing to say aloud either.
    if (found.kind == NULL || score != score || verdict->findings.len == MOST_FINDINGS) continue;
    if (verdict->findings.ptr == NULL)
      verdict->findings.ptr = need(malloc(MOST_FINDINGS * sizeof *verdict->findings.ptr));
    tell(&verdict->findings.ptr[verdict->findings.len++], window->ids.ptr[n], value, score, &found);
  }
  exports_foreshock_detector_detector_window_free(window);
  return true;
}

bool exports_foreshock_detector_detector_method_model_snapshot(exports_foreshock_detector_detector_model_t *model,
                                                               exports_foreshock_detector_detector_state_t *state,
                                                               exports_foreshock_detector_detector_fault_t *fault) {
  (void)fault;
  state->schema = STATE_SCHEMA;
  state->bytes.len = level_watch_saved_size(&model->watch);
  state->bytes.ptr = NULL;
  if (state->bytes.len > 0) {
    state->bytes.ptr = need(malloc(state->bytes.len));
    level_watch_save(&model->watch, state->bytes.ptr);
  }
  return true;
}
