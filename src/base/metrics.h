/* Counters, gauges and histograms of the whole process, declared in metrics.def and read as
 * Prometheus text. Each thread writes cells of its own, plainly, and never waits for a lock or for
 * another core; the reader (the control thread) sums the cells of all threads, so a reading may be
 * a moment old but a counter never goes back. Not for the pure layers: they return their counts. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "base/bytes.h"

/* The text of a full reading fits (a test keeps this true). */
#define METRICS_TEXT_BYTES_MAX 65536

/* Values that a label may have, so that no caller can make their number grow. */
#define METRICS_LABELS_MAX 32

enum metric {
#define COUNTER(id, ...)    METRIC_##id,
#define GAUGE(id, ...)      METRIC_##id,
#define HISTOGRAM(id, ...)  METRIC_##id,
#define COUNTER_OF(id, ...) METRIC_##id,
#define GAUGE_OF(id, ...)   METRIC_##id,
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef COUNTER_OF
#undef GAUGE_OF
    METRIC_COUNT
};

/* A counter: more of it. */
void metrics_add(enum metric counter, uint64_t n);
/* A gauge: this thread's part becomes `value`, or changes by it. The parts are summed; a thread's
 * part is 0 once it has ended. */
void metrics_set(enum metric gauge, int64_t value);
void metrics_change(enum metric gauge, int64_t by);
/* Boot, before the first thread: label number `at` of every metric of many ("provider=\"x\""), a
 * literal. Numbers without a name, and those beyond METRICS_LABELS_MAX, count as the last one,
 * which is provider="other". */
void metrics_label(uint32_t at, const char *labels);
/* One of many. */
void metrics_add_of(enum metric counter, uint32_t label, uint64_t n);
void metrics_change_of(enum metric gauge, uint32_t label, int64_t by);
/* A histogram of spans: one more, in nanoseconds; less than nothing counts as nothing. */
void metrics_observe(enum metric histogram, int64_t span_ns);
/* The counter of a WebSocket's close code (RFC 6455 section 7.4). */
enum metric metrics_ws_close(uint16_t code);

/* Sum over all threads: a counter's or gauge's value, a histogram's count. */
int64_t metrics_read(enum metric metric);
/* The whole reading in the Prometheus text format 0.0.4. */
void metrics_write(struct builder *out);

#endif
