/* One RTCP datagram; what was understood must build and read back the same. */
#include <stddef.h>
#include <stdint.h>

#include "media/rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct rtcp_in in, again;
    uint8_t bytes[512];
    struct builder b = builder_of(bytes, sizeof(bytes));

    if (rtcp_parse(slice_of(data, len), 0x0A0B0C0D, &in) != 0)
        return 0;
    struct rtcp_out out = {.ssrc = in.ssrc,
                           .sending = in.has_sender,
                           .sender = in.sender,
                           .reporting = in.has_report,
                           .report = in.report,
                           .cname = in.cname.len ? in.cname : SLICE("x"),
                           .bye = in.bye};
    if (rtcp_build(&b, &out) != 0 || rtcp_parse(builder_slice(&b), 0x0A0B0C0D, &again) != 0)
        __builtin_trap();
    if (again.bye != in.bye || again.has_sender != in.has_sender ||
        again.has_report != in.has_report || again.report.lost != in.report.lost ||
        again.sender.ntp != in.sender.ntp || !slice_equal(again.cname, out.cname))
        __builtin_trap();
    return 0;
}
