#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static void set_ipv6(struct address *out, const uint8_t ip[16])
{
    if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        out->family = 4;
        memcpy(out->ip, ip + 12, 4);
    } else {
        out->family = 6;
        memcpy(out->ip, ip, 16);
    }
}

/* Splits "host:port" or "[host]:port"; a bare host leaves *port empty. */
static int split(struct slice text, struct slice *host, struct slice *port)
{
    *port = SLICE_NONE;
    if (text.len && text.at[0] == '[') {
        *host = slice_cut(slice_of(text.at + 1, text.len - 1), ']', port);
        if (host->len + 1 == text.len)
            return -EINVAL;
        if (port->len && port->at[0] != ':')
            return -EINVAL;
        *port = port->len ? slice_of(port->at + 1, port->len - 1) : SLICE_NONE;
        return 0;
    }
    *host = slice_cut(text, ':', port);
    if (port->len && memchr(port->at, ':', port->len)) { /* a bare IPv6 address */
        *host = text;
        *port = SLICE_NONE;
    }
    return 0;
}

int address_parse(struct slice text, bool port_needed, struct address *out)
{
    struct slice host, port;
    char name[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    uint64_t number = 0;

    memset(out, 0, sizeof(*out));
    if (split(text, &host, &port) || slice_cstr(host, name, sizeof(name)))
        return -EINVAL;
    if ((port_needed || port.len) && slice_u64(port, UINT16_MAX, &number))
        return -EINVAL;
    if (inet_pton(AF_INET, name, ip) == 1) {
        out->family = 4;
        memcpy(out->ip, ip, 4);
    } else if (inet_pton(AF_INET6, name, ip) == 1) {
        set_ipv6(out, ip);
    } else {
        return -EINVAL;
    }
    out->port = (uint16_t)number;
    return 0;
}

const char *address_text(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN] = "none";

    if (a->family)
        inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
    snprintf(out, ADDRESS_TEXT_BYTES, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
    return out;
}

bool address_same_ip(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->port == b->port && address_same_ip(a, b);
}

bool address_is_loopback(const struct address *a)
{
    static const uint8_t six[16] = {[15] = 1};

    return a->family == 4 ? a->ip[0] == 127 : a->family == 6 && memcmp(a->ip, six, 16) == 0;
}

socklen_t address_to_sockaddr(const struct address *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(a->port);
    memcpy(&in->sin_addr, a->ip, 4);
    return sizeof(*in);
}

void address_from_sockaddr(const struct sockaddr_storage *from, struct address *out)
{
    memset(out, 0, sizeof(*out));
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        set_ipv6(out, in6->sin6_addr.s6_addr);
        out->port = ntohs(in6->sin6_port);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        out->family = 4;
        memcpy(out->ip, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
    }
}
