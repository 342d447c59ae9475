#include "net/net_guard.h"

#include <string.h>

struct range {
    uint8_t ip[16];
    uint8_t bits;
};

static const struct range closed_v4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared by carriers */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local, and clouds' metadata */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relays */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, broadcast */
};

static const struct range closed_v6[] = {
    {{0x01}, 8},                    /* discard only, and reserved */
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff}, 20},             /* documentation */
    {{0x5f}, 8},                    /* segment routing */
    {{0xfc}, 7},                    /* private */
    {{0xfe}, 8},                    /* link-local, site-local */
    {{0xff}, 8},                    /* multicast */
};

static bool within(const uint8_t *ip, const struct range *range)
{
    size_t whole = range->bits / 8;
    uint8_t mask = (uint8_t)(0xFF00u >> (range->bits % 8));

    return memcmp(ip, range->ip, whole) == 0 &&
           (range->bits % 8 == 0 || ((ip[whole] ^ range->ip[whole]) & mask) == 0);
}

static bool public_v4(const uint8_t *ip)
{
    for (size_t i = 0; i < ARRAY_LEN(closed_v4); i++)
        if (within(ip, &closed_v4[i]))
            return false;
    return true;
}

/* Where an IPv6 address carries an IPv4 one: that is where the packets go in the end. */
static const uint8_t *carried_v4(const uint8_t *ip)
{
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};

    if (memcmp(ip, translated, sizeof(translated)) == 0)
        return ip + 12;
    if (ip[0] == 0x20 && ip[1] == 0x02) /* 6to4 */
        return ip + 2;
    return NULL;
}

static bool public_v6(const uint8_t *ip)
{
    const uint8_t *v4 = carried_v4(ip);

    if (v4)
        return public_v4(v4);
    if (ip[0] == 0) /* unspecified, loopback, mapped, compatible, local translation */
        return false;
    for (size_t i = 0; i < ARRAY_LEN(closed_v6); i++)
        if (within(ip, &closed_v6[i]))
            return false;
    return (ip[0] & 0xE0) == 0x20; /* what has been given out so far is 2000::/3 */
}

bool net_guard_public(const struct address *a)
{
    if (a->family == 4)
        return public_v4(a->ip);
    return a->family == 6 && public_v6(a->ip);
}
