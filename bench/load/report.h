/* What a run found: as JSON, as one HTML page with plots that needs nothing beside itself, and as
 * lines for people. Writes files at the end of the program. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "bench/load/load.h"

#define REPORT_BYTES (4u << 20)

/* The JSON document into `b`. */
void report_json(const struct load *l, struct builder *b);
/* The page; `json` stands in it too, for whoever wants the numbers. */
void report_html(const struct load *l, struct slice json, struct builder *b);
/* A line for each step, to standard output or where JSON does not go. */
void report_lines(const struct load *l, FILE *out);
/* Calls that failed, or in which a check failed. */
uint32_t report_bad_calls(const struct load *l);

/* Figures of one window, shared by all three. */
double report_cpu_pct(const struct load_window *w); /* of one core; -1: not measured */
double report_us_pair(const struct load_window *w); /* server CPU per packet in and out; -1 */
double report_own_pct(const struct load_window *w);
double report_late_100k(const struct load_window *w);
int64_t report_rss_call(const struct load *l, const struct load_window *w); /* bytes; -1 */

#endif
