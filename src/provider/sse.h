/* Server-sent events (WHATWG HTML, section 9.2.6) out of a response that comes in pieces of any
 * size: lines end with LF, CR LF or CR, comments are skipped, the data lines of one event are
 * joined. Embedded in a provider's state; it never allocates, and the buffer given bounds an event.
 * What is produced depends on the bytes alone, not on how they were cut. */
#ifndef PROVIDER_SSE_H
#define PROVIDER_SSE_H

#include "base/bytes.h"

#define SSE_NAME_BYTES 40 /* longer event names are cut: nobody knows them */

enum sse_kind {
    SSE_MORE,     /* all input is used up */
    SSE_EVENT,    /* name ("message" if it has none) and data */
    SSE_TOO_LONG, /* a line or an event is larger than the buffer; nothing follows */
};

struct sse {
    uint8_t *buffer;
    size_t size;
    size_t data; /* bytes of data gathered, at the buffer's beginning */
    size_t line; /* bytes of the present line behind them */
    bool has_data;
    bool after_cr; /* a LF would belong to the line end that was seen */
    bool done;
    uint8_t name_len;
    uint8_t name[SSE_NAME_BYTES];
};

struct sse_event {
    struct slice name;
    struct slice data; /* valid until the next call */
};

void sse_init(struct sse *s, void *buffer, size_t size);
/* The next event out of *in, which is moved past the bytes used. */
enum sse_kind sse_next(struct sse *s, struct slice *in, struct sse_event *ev);
/* The response is complete: an event without its empty line counts. SSE_MORE: there is none. */
enum sse_kind sse_end(struct sse *s, struct sse_event *ev);

#endif
