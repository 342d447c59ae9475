#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

/* ---- on the lane ---- */

static int32_t error_of(int code)
{
    switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
        return ENOENT;
    case EAI_AGAIN:
        return EAGAIN;
    default:
        return EIO;
    }
}

static bool known(const struct resolved *out, const struct address *a)
{
    for (uint32_t i = 0; i < out->count; i++)
        if (address_same_ip(&out->at[i], a))
            return true;
    return false;
}

static void ask(const char *name, struct resolved *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(name, NULL, &hints, &list);

    out->err = code ? error_of(code) : 0;
    for (const struct addrinfo *at = list; at && out->count < RESOLVE_ADDRESSES_MAX;
         at = at->ai_next) {
        struct sockaddr_storage name_at = {0};
        if (at->ai_addrlen > sizeof(name_at))
            continue;
        memcpy(&name_at, at->ai_addr, at->ai_addrlen);
        address_from_sockaddr(&name_at, &out->at[out->count]);
        out->at[out->count].port = 0;
        if (out->at[out->count].family && !known(out, &out->at[out->count]))
            out->count++;
    }
    if (list)
        freeaddrinfo(list);
    if (!out->err && !out->count)
        out->err = ENOENT;
}

static size_t session_bytes(struct slice arguments)
{
    (void)arguments;
    return 1;
}

static int session_run(void *session, uint32_t tag, struct slice bytes, struct lane_job *job)
{
    struct resolved out = {0};
    char name[RESOLVE_NAME_BYTES];

    (void)session;
    if (slice_cstr(bytes, name, sizeof(name)) || !name[0])
        out.err = ENOENT;
    else
        ask(name, &out);
    lane_emit(job, tag, slice_of(&out, sizeof(out)));
    return 0;
}

const struct lane_program resolve_program = {
    .name = "resolve", .session_bytes = session_bytes, .run = session_run};

/* ---- the cache ---- */

bool resolve_literal(const char *name, struct address *out)
{
    return address_parse(slice_str(name), false, out) == 0;
}

struct resolve_entry *resolve_entry(struct resolve_cache *cache, const char *name, int64_t now_ns)
{
    struct resolve_entry *oldest = NULL;

    if (!name[0] || strlen(name) >= RESOLVE_NAME_BYTES)
        return NULL;
    for (size_t i = 0; i < RESOLVE_NAMES_MAX; i++) {
        struct resolve_entry *e = &cache->entries[i];
        if (strcasecmp(e->name, name) == 0) {
            e->used_ns = now_ns;
            return e;
        }
        if (!e->asked && (!oldest || e->used_ns < oldest->used_ns))
            oldest = e;
    }
    if (!oldest)
        return NULL;
    *oldest = (struct resolve_entry){.used_ns = now_ns};
    slice_cstr(slice_str(name), oldest->name, sizeof(oldest->name));
    return oldest;
}

static void give(const struct resolve_entry *e, struct address *out)
{
    *out = e->answer.at[e->turn % e->answer.count];
}

int resolve_look(const struct resolve_entry *e, int64_t now_ns, struct address *out)
{
    if (now_ns >= e->fresh_ns)
        return -EAGAIN;
    if (e->answer.err || !e->answer.count)
        return e->answer.err ? -e->answer.err : -ENOENT;
    give(e, out);
    return 0;
}

void resolve_learn(struct resolve_entry *e, const struct resolved *answer, int64_t now_ns)
{
    bool passing = answer->err == EAGAIN || answer->err == EIO;

    e->asked = false;
    if (passing && e->answer.count && now_ns < e->good_ns) {
        e->fresh_ns = now_ns + RESOLVE_NONE_NS; /* not to be asked anew for each call */
        return;
    }
    e->answer = *answer;
    if (e->answer.count > RESOLVE_ADDRESSES_MAX)
        e->answer.count = RESOLVE_ADDRESSES_MAX;
    e->turn = 0;
    e->fresh_ns = now_ns + (answer->err ? RESOLVE_NONE_NS : RESOLVE_FRESH_NS);
    e->good_ns = answer->err ? 0 : now_ns + RESOLVE_STALE_NS;
}

int resolve_old(const struct resolve_entry *e, int64_t now_ns, struct address *out)
{
    if (now_ns >= e->good_ns || !e->answer.count)
        return -ENOENT;
    give(e, out);
    return 0;
}

void resolve_turn(struct resolve_entry *e)
{
    e->turn++;
}
