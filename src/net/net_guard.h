/* Which addresses a request may go to that somebody outside asked for (a tool's URL, a webhook):
 * only those of the public internet. Looked at when a connection is made, on the address itself, so
 * that neither a spelling nor a name that changes its mind gets past it. Pure, any thread. */
#ifndef NET_NET_GUARD_H
#define NET_NET_GUARD_H

#include "base/address.h"

/* False for addresses that are not the internet's own: this machine, private and shared networks,
 * link-local, multicast, reserved, documentation, and IPv6 forms that carry such an IPv4 address
 * (mapped, compatible, translated, 6to4). RFC 6890 and the registries it began. */
bool net_guard_public(const struct address *a);

#endif
