#include "provider/scripted.h"

#include <errno.h>
#include <stdio.h>

/* ---- words ---- */

static int bad(char why[SCRIPTED_WHY_BYTES], const char *what)
{
    snprintf(why, SCRIPTED_WHY_BYTES, "%s", what);
    return -EINVAL;
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A quoted text from behind its first quote; *at ends behind the last one. */
static int take_quoted(struct slice line, size_t *at, struct builder *b, struct slice *text)
{
    size_t from = b->len;

    for (; *at < line.len; (*at)++) {
        uint8_t c = line.at[*at];
        if (c == '"') {
            (*at)++;
            *text = slice_of(b->at + from, b->len - from);
            return 0;
        }
        if (c == '\\' && *at + 1 < line.len)
            c = line.at[++*at];
        builder_u8(b, c);
    }
    return -EINVAL;
}

int scripted_split(struct slice line, struct scripted_words *w, char why[SCRIPTED_WHY_BYTES])
{
    struct builder b = builder_of(w->store, sizeof(w->store));
    size_t at = 0;

    w->count = w->at = 0;
    if (line.len > SCRIPTED_LINE_BYTES)
        return bad(why, "the line is too long");
    /* ends: each round moves `at` on */
    while (at < line.len && line.at[at] != '#') {
        if (blank(line.at[at])) {
            at++;
            continue;
        }
        if (w->count == SCRIPTED_WORDS_MAX)
            return bad(why, "the line has too many words");
        struct scripted_word *word = &w->list[w->count++];
        word->quoted = line.at[at] == '"';
        if (word->quoted) {
            at++;
            if (take_quoted(line, &at, &b, &word->text) < 0)
                return bad(why, "a quoted text does not end");
            continue;
        }
        size_t from = at;
        while (at < line.len && !blank(line.at[at]) && line.at[at] != '"')
            at++;
        word->text = slice_of(line.at + from, at - from);
    }
    return b.bad ? bad(why, "the line is too long") : 0;
}

static bool plain_at(const struct scripted_words *w, size_t at, struct slice text)
{
    return at < w->count && !w->list[at].quoted && slice_equal(w->list[at].text, text);
}

bool scripted_take(struct scripted_words *w, const char *words)
{
    struct slice rest = slice_str(words);
    size_t at = w->at;

    /* ends: each round cuts one word off */
    while (rest.len)
        if (!plain_at(w, at++, slice_cut(rest, ' ', &rest)))
            return false;
    w->at = at;
    return true;
}

bool scripted_take_text(struct scripted_words *w, struct slice *text)
{
    if (w->at >= w->count || !w->list[w->at].quoted)
        return false;
    *text = w->list[w->at++].text;
    return true;
}

bool scripted_take_number(struct scripted_words *w, const char *suffix, uint64_t max,
                          uint64_t *number)
{
    struct slice end = slice_str(suffix);

    if (w->at >= w->count || w->list[w->at].quoted || w->list[w->at].text.len <= end.len)
        return false;
    struct slice word = w->list[w->at].text;
    if (end.len && !slice_equal(slice_of(word.at + word.len - end.len, end.len), end))
        return false;
    if (slice_u64(slice_of(word.at, word.len - end.len), max, number) < 0)
        return false;
    w->at++;
    return true;
}

bool scripted_take_ms(struct scripted_words *w, int64_t *ms)
{
    uint64_t n;

    if (scripted_take_number(w, "ms", SCRIPTED_MS_MAX, &n)) {
        *ms = (int64_t)n;
        return true;
    }
    if (!scripted_take_number(w, "s", SCRIPTED_MS_MAX / 1000, &n))
        return false;
    *ms = (int64_t)n * 1000;
    return true;
}

bool scripted_end(const struct scripted_words *w)
{
    return w->at == w->count;
}

/* ---- lines ---- */

void scripted_init(struct scripted *s)
{
    memset(s, 0, sizeof(*s));
    s->tts_first_ms = SCRIPTED_TTS_FIRST_MS;
    s->tts_speed = SCRIPTED_TTS_SPEED;
    for (uint32_t reply = 0; reply < SCRIPTED_BUZZES; reply++)
        for (size_t i = 0; i < ARRAY_LEN(s->buzz[reply]); i++)
            s->buzz[reply][i] = scripted_sample(reply, (int64_t)i);
}

static int keep(struct scripted *s, struct slice *text, char why[SCRIPTED_WHY_BYTES])
{
    if (text->len > sizeof(s->store) - s->store_len)
        return bad(why, "the script holds too much text");
    uint8_t *at = s->store + s->store_len;
    if (text->len)
        memcpy(at, text->at, text->len);
    s->store_len += text->len;
    *text = slice_of(at, text->len);
    return 0;
}

static int line_stt(struct scripted *s, struct scripted_words *w, char why[SCRIPTED_WHY_BYTES])
{
    struct scripted_heard h = {.final_ms = SCRIPTED_FINAL_MS};

    if (!scripted_take_text(w, &h.text))
        return bad(why, "stt needs a text in quotes");
    if (!slice_is_utf8(h.text))
        return bad(why, "the text is not UTF-8");
    if (scripted_take(w, "partial at")) {
        h.has_partial = true;
        if (!scripted_take_ms(w, &h.partial_ms))
            return bad(why, "\"partial at\" needs a time like 300ms");
        h.complete = scripted_take(w, "complete");
        h.ended = h.complete && scripted_take(w, "ended");
    }
    if (scripted_take(w, "final after") && !scripted_take_ms(w, &h.final_ms))
        return bad(why, "\"final after\" needs a time like 40ms");
    if (!scripted_end(w))
        return bad(why, "stt: \"text\" [partial at T [complete [ended]]] [final after T]");
    if (s->stt_count == SCRIPTED_LINES_MAX)
        return bad(why, "more than 64 stt lines");
    if (keep(s, &h.text, why) < 0)
        return -EINVAL;
    s->stt[s->stt_count++] = h;
    return 1;
}

static int line_llm(struct scripted *s, struct scripted_words *w, char why[SCRIPTED_WHY_BYTES])
{
    struct scripted_answer a = {.first_ms = SCRIPTED_FIRST_MS};

    if (!scripted_take_text(w, &a.text))
        return bad(why, "llm needs a text in quotes");
    if (!slice_is_utf8(a.text))
        return bad(why, "the text is not UTF-8");
    if (scripted_take(w, "first token after") && !scripted_take_ms(w, &a.first_ms))
        return bad(why, "\"first token after\" needs a time like 50ms");
    if (scripted_take(w, "every") && !scripted_take_ms(w, &a.every_ms))
        return bad(why, "\"every\" needs a time like 20ms");
    a.hang_up = scripted_take(w, "then hang up");
    if (!scripted_end(w))
        return bad(why, "llm: \"text\" [first token after T] [every T] [then hang up]");
    if (s->llm_count == SCRIPTED_LINES_MAX)
        return bad(why, "more than 64 llm lines");
    if (keep(s, &a.text, why) < 0)
        return -EINVAL;
    s->llm[s->llm_count++] = a;
    return 1;
}

static int line_tts(struct scripted *s, struct scripted_words *w, char why[SCRIPTED_WHY_BYTES])
{
    uint64_t speed = SCRIPTED_TTS_SPEED;

    if (scripted_take(w, "first byte after") && !scripted_take_ms(w, &s->tts_first_ms))
        return bad(why, "\"first byte after\" needs a time like 30ms");
    if (scripted_take(w, "at") &&
        (!scripted_take_number(w, "x", SCRIPTED_SPEED_MAX, &speed) || speed == 0))
        return bad(why, "\"at\" needs a speed from 1x to 1000x");
    if (!scripted_end(w))
        return bad(why, "tts: [first byte after T] [at Nx]");
    s->tts_speed = (int64_t)speed;
    return 1;
}

int scripted_line(struct scripted *s, struct scripted_words *w, char why[SCRIPTED_WHY_BYTES])
{
    if (scripted_take(w, "stt"))
        return line_stt(s, w, why);
    if (scripted_take(w, "llm"))
        return line_llm(s, w, why);
    if (scripted_take(w, "tts"))
        return line_tts(s, w, why);
    return 0;
}

int scripted_parse(struct scripted *s, struct slice text, char why[SCRIPTED_WHY_BYTES])
{
    struct scripted_words w;
    char what[SCRIPTED_WHY_BYTES - 32] = "";
    char clause[SCRIPTED_WHY_BYTES] = "";

    scripted_init(s);
    if (text.len > SCRIPTED_FILE_BYTES)
        return bad(why, "the script is longer than 64 KB");
    for (uint32_t line = 1; text.len; line++) {
        int taken = scripted_split(slice_cut(text, '\n', &text), &w, clause);
        if (taken == 0 && w.count)
            taken =
                scripted_line(s, &w, clause) ?: bad(clause, "it begins with none of stt, llm, tts");
        if (taken < 0) {
            slice_cstr(slice_str(clause), what, sizeof(what));
            snprintf(why, SCRIPTED_WHY_BYTES, "line %u: %s", line, what);
            return -EINVAL;
        }
    }
    return 0;
}

/* ---- sound ---- */

int64_t scripted_samples(size_t text_bytes)
{
    int64_t ms = (int64_t)(text_bytes < 1000 ? text_bytes : 1000) * 55;

    ms = ms < 200 ? 200 : ms > 20000 ? 20000 : ms;
    return ms * (SCRIPTED_RATE_HZ / 1000);
}

int64_t scripted_period(uint32_t reply)
{
    return 20 + 2 * (int64_t)(reply % SCRIPTED_BUZZES);
}

int16_t scripted_sample(uint32_t reply, int64_t i)
{
    int64_t period = scripted_period(reply);

    /* a falling saw: loud from its first sample on, rich in harmonics */
    return (int16_t)(8000 - 16000 * (i % period) / period);
}
