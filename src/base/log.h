/* JSON lines on stdout: timestamp, level, service, message, call_id and agent_id. A line is
 * composed on the caller's stack, copied into a ring of the calling thread and written by one
 * writer thread, so logging never blocks a shard: a full ring drops the line and counts it. Before
 * log_start() and after log_stop() (and in tests) lines go to stderr directly. Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

#include "base/reason.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Who a line is about; NULL members are left out. Borrowed for the call. */
struct log_about {
    const char *call_id;
    const char *agent_id;
};

/* Starts the writer thread; lines below `least` are not composed at all. 0 or -errno (-EALREADY).
 */
MUST_USE int log_start(enum log_level least);
/* From now on, for all threads. */
void log_level_set(enum log_level least);
/* Drains every ring, ends the writer; gives up after a second if stdout is stuck. The threads
 * that log have ended before, or their last lines may go to stderr or be lost. */
void log_stop(void);
/* Lines dropped because a ring was full, there was no ring left (LOG_THREADS_MAX) or stdout failed;
 * only ever grows. */
uint64_t log_dropped(void);
/* The simulator and tests put a wall clock of their own in; NULL: the real one. */
void log_clock(int64_t (*wall_ms)(void));
/* Takes the calling thread's ring now instead of at its first line, so that no line allocates. */
void log_thread_begin(void);
/* One line; use the macros. Leaves errno as it was. `service` names the module, for instance
 * "leg_rtp". */
void log_line(enum log_level level, const char *service, const struct log_about *about,
              const char *format, ...) PRINTF_LIKE(4, 5);
enum log_level log_least(void);

#define LOG_AT(level, service, about, ...)                                                         \
    do {                                                                                           \
        if ((level) >= log_least())                                                                \
            log_line((level), (service), (about), __VA_ARGS__);                                    \
    } while (0)
#define log_debug(service, about, ...) LOG_AT(LOG_DEBUG, service, about, __VA_ARGS__)
#define log_info(service, about, ...)  LOG_AT(LOG_INFO, service, about, __VA_ARGS__)
#define log_warn(service, about, ...)  LOG_AT(LOG_WARN, service, about, __VA_ARGS__)
#define log_error(service, about, ...) LOG_AT(LOG_ERROR, service, about, __VA_ARGS__)

#endif
