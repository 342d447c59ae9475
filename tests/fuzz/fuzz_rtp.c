/* Pairs of (milliseconds passed, length) and a datagram of that length, all to one leg. */
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "media/rtp.h"

static void one(struct rtp_source *source, struct rtp_receive *r, struct slice d, int64_t now_ns)
{
    struct rtp_address from = {.port = d.len ? d.at[d.len - 1] & 3 : 0};
    struct rtp_packet p;

    (void)rtp_kind(d);
    if (rtp_parse(d, &p) != 0)
        return;
    if (p.payload.len + p.extension.len + RTP_HEADER_BYTES > d.len)
        __builtin_trap();
    if (rtp_source_check(source, &from, &p, now_ns) == RTP_REFUSED)
        return;
    int64_t before = r->seq;
    struct rtp_arrival a = rtp_receive_packet(r, &p, now_ns);
    if (a.verdict == RTP_FRESH && a.seq <= before)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader in = reader_of(slice_of(data, len));
    struct rtp_address announced = {.port = 1};
    struct rtp_source source;
    struct rtp_receive r;
    int64_t now_ns = 0;

    rtp_receive_init(&r, 8000);
    rtp_source_init(&source, RTP_LOCK_ANY, &announced);
    while (reader_left(&in) > 2) {
        now_ns += MS(reader_u8(&in));
        size_t part = reader_u8(&in);
        one(&source, &r, reader_take(&in, part < reader_left(&in) ? part : reader_left(&in)),
            now_ns);
        (void)rtp_receive_report(&r);
    }
    return 0;
}
