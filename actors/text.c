#include "actors/text.h"

#include <stdio.h>
#include <string.h>

#include "actors/messages.h"

struct slice text_of(struct actor *a, const struct msg *m)
{
    uint8_t *at = (uint8_t *)(uintptr_t)shard_scratch(a->shard).at + SCRATCH_TEXT;

    if (m->frame == FRAME_NONE)
        return SLICE_NONE;
    size_t len = frame_chain_copy(shard_pool(a->shard), m->frame, at, SCRATCH_MADE - SCRATCH_TEXT);
    return slice_of(at, len);
}

struct builder text_builder(struct actor *a)
{
    uint8_t *at = (uint8_t *)(uintptr_t)shard_scratch(a->shard).at;

    return builder_of(at + SCRATCH_MADE, SCRATCH_END - SCRATCH_MADE);
}

frame_ref text_frame(struct actor *a, struct slice text)
{
    return text.len ? frame_chain(shard_pool(a->shard), text) : FRAME_NONE;
}

struct slice text_cut(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && (text.at[max] & 0xC0) == 0x80)
        max--;
    return slice_of(text.at, max);
}

#define NOTE_BYTES_MIN 240 /* what the smallest block holds */

uint8_t *text_memory(struct actor *a, size_t len, size_t max, uint32_t *size)
{
    size_t bytes = *size ? 2 * (size_t)*size : NOTE_BYTES_MIN;

    bytes = bytes < len ? len : bytes;
    bytes = bytes < max ? bytes : max;
    uint8_t *memory = actor_memory(a, bytes);
    if (memory)
        *size = (uint32_t)bytes;
    return memory;
}

void note_add(struct actor *a, struct note *n, struct slice text, size_t max)
{
    text = text_cut(text, max - n->len);
    if (text.len == 0)
        return;
    if (n->len + text.len > n->size) {
        uint8_t *memory = text_memory(a, n->len + text.len, max, &n->size);
        if (!memory)
            return;
        if (n->len)
            memcpy(memory, n->at, n->len);
        actor_memory_put(a, n->at);
        n->at = memory;
    }
    memcpy(n->at + n->len, text.at, text.len);
    n->len += (uint32_t)text.len;
}

void note_set(struct actor *a, struct note *n, struct slice text, size_t max)
{
    n->len = 0;
    note_add(a, n, text, max);
}

void note_drop(struct actor *a, struct note *n)
{
    actor_memory_put(a, n->at);
    *n = (struct note){0};
}

void call_id_make(const struct world *world, uint32_t shard, uint32_t number, char *out)
{
    snprintf(out, CALL_ID_BYTES, "%08x-%04x-%02x-%06x", world->generation, world->process,
             shard & 0xFFu, number & 0xFFFFFFu);
}

bool call_id_shard(const struct world *world, struct slice id, uint32_t *shard)
{
    char text[CALL_ID_BYTES], again[CALL_ID_BYTES];
    unsigned generation, process, number;

    if (slice_cstr(id, text, sizeof(text)) ||
        sscanf(text, "%8x-%4x-%2x-%6x", &generation, &process, shard, &number) != 4)
        return false;
    call_id_make(world, *shard, number, again);
    return strcmp(text, again) == 0 && *shard < world->shards;
}

uint32_t call_id_generation(struct slice id)
{
    char text[CALL_ID_BYTES], again[CALL_ID_BYTES];
    unsigned generation, process, shard, number;

    if (slice_cstr(id, text, sizeof(text)) ||
        sscanf(text, "%8x-%4x-%2x-%6x", &generation, &process, &shard, &number) != 4)
        return 0;
    snprintf(again, sizeof(again), "%08x-%04x-%02x-%06x", generation, process, shard, number);
    return strcmp(text, again) == 0 ? generation : 0;
}

void media_base(const struct world *world, char *out, size_t out_bytes)
{
    const char *public = world->config->public_url;
    char text[ADDRESS_TEXT_BYTES];

    if (strncmp(public, "https://", 8) == 0)
        snprintf(out, out_bytes, "wss://%s", public + 8);
    else if (strncmp(public, "http://", 7) == 0)
        snprintf(out, out_bytes, "ws://%s", public + 7);
    else
        snprintf(out, out_bytes, "ws://%s", address_text(&world->media_address, text));
}
