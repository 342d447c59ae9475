/* An internet address with a port, 20 bytes, free of pointers so that it travels in messages.
 * IPv4 is kept as IPv4, an IPv4-mapped IPv6 address is turned into it, so that equal peers compare
 * equal. Never resolves names. Any thread. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/bytes.h"

struct address {
    uint8_t ip[16]; /* network order; IPv4 uses the first four */
    uint16_t port;  /* host order */
    uint8_t family; /* 4 or 6; 0 is no address */
    uint8_t spare;
};

/* Longest text with its NUL: "[ffff:...:255.255.255.255]:65535". */
#define ADDRESS_TEXT_BYTES 64

/* "127.0.0.1:7860", "[::1]:7860", or with `port_needed` false a bare address. Numbers only: 0 or
 * -EINVAL. */
MUST_USE int address_parse(struct slice text, bool port_needed, struct address *out);
/* Writes "1.2.3.4:5" or "[::1]:5" and returns `out`. */
const char *address_text(const struct address *a, char out[ADDRESS_TEXT_BYTES]);
bool address_equal(const struct address *a, const struct address *b);
/* The same host, whatever the port. */
bool address_same_ip(const struct address *a, const struct address *b);
bool address_is_loopback(const struct address *a);

/* To and from the kernel's form. Returns the length of the sockaddr. */
socklen_t address_to_sockaddr(const struct address *a, struct sockaddr_storage *out);
void address_from_sockaddr(const struct sockaddr_storage *from, struct address *out);

#endif
