/* What the scripted providers follow: lines of text that say what the recogniser will have heard,
 * what the model will answer, and after which delays. Parsed once when an agent is loaded, shared
 * read-only by its calls. The parser is pure and bounded; scripted_load() reads the file. Integer
 * arithmetic only, so that a run repeats to the sample.
 *
 *     stt "what are your opening hours" partial at 300ms complete final after 40ms
 *     llm "We are open from eight to six." first token after 50ms every 20ms then hang up
 *     tts first byte after 30ms at 10x
 *
 * Empty lines, and what follows a '#' outside quotes, are skipped. Inside quotes \" and \\ stand
 * for themselves. */
#ifndef PROVIDER_SCRIPTED_H
#define PROVIDER_SCRIPTED_H

#include "provider/provider.h"

#define SCRIPTED_LINES_MAX  64    /* of a kind; beyond: refused */
#define SCRIPTED_TEXT_BYTES 16384 /* of all texts; beyond: refused */
#define SCRIPTED_FILE_BYTES 65536 /* of a script; longer: refused */
#define SCRIPTED_WORDS_MAX  24    /* of a line; beyond: refused */
#define SCRIPTED_LINE_BYTES 2048  /* of a line; longer: refused */
#define SCRIPTED_MS_MAX     600000
#define SCRIPTED_SPEED_MAX  1000
#define SCRIPTED_WHY_BYTES  160
#define SCRIPTED_RATE_HZ    8000 /* of what tts_scripted gives */

/* ---- words: "300ms", "quoted text", final ---- */
struct scripted_word {
    struct slice text; /* without quotes; in the line, or in `store` */
    bool quoted;
};

struct scripted_words {
    struct scripted_word list[SCRIPTED_WORDS_MAX];
    size_t count;
    size_t at; /* next one to be taken */
    uint8_t store[SCRIPTED_LINE_BYTES];
};

/* Cuts a line into words. 0, or -EINVAL and `why`. */
MUST_USE int scripted_split(struct slice line, struct scripted_words *w,
                            char why[SCRIPTED_WHY_BYTES]);
/* Takes the next words if they are these (space-separated), all or none. */
bool scripted_take(struct scripted_words *w, const char *words);
/* Takes a quoted text. */
bool scripted_take_text(struct scripted_words *w, struct slice *text);
/* Takes "300ms" or "3s"; at most SCRIPTED_MS_MAX. */
bool scripted_take_ms(struct scripted_words *w, int64_t *ms);
/* Takes a plain whole number, or one with this suffix ("10x"). */
bool scripted_take_number(struct scripted_words *w, const char *suffix, uint64_t max,
                          uint64_t *number);
/* Everything was taken. */
bool scripted_end(const struct scripted_words *w);

/* ---- the script ---- */
struct scripted_heard {
    struct slice text;
    bool has_partial;
    bool complete;      /* the partial is a whole sentence already, */
    bool ended;         /* behind which the recogniser has heard silence */
    int64_t partial_ms; /* after speech began */
    int64_t final_ms;   /* after the utterance was declared over */
};

struct scripted_answer {
    struct slice text;
    int64_t first_ms; /* after the request */
    int64_t every_ms; /* between words; 0: all at once */
    bool hang_up;
};

#define SCRIPTED_PERIOD_MAX    42
#define SCRIPTED_BUZZES        12
#define SCRIPTED_PIECE_SAMPLES 160

struct scripted {
    struct scripted_heard stt[SCRIPTED_LINES_MAX];
    size_t stt_count;
    struct scripted_answer llm[SCRIPTED_LINES_MAX];
    size_t llm_count;
    int64_t tts_first_ms;
    int64_t tts_speed; /* times real time */
    uint8_t store[SCRIPTED_TEXT_BYTES];
    size_t store_len;
    /* Of each reply's buzz so much that a piece can be cut out of it at any phase: a division per
     * sample would cost a load run more than all else that the script does. */
    int16_t buzz[SCRIPTED_BUZZES][SCRIPTED_PERIOD_MAX + SCRIPTED_PIECE_SAMPLES];
};

#define SCRIPTED_FINAL_MS     40
#define SCRIPTED_FIRST_MS     50
#define SCRIPTED_TTS_FIRST_MS 30
#define SCRIPTED_TTS_SPEED    10

void scripted_init(struct scripted *s);
/* Takes a split line if it is one of stt, llm, tts: 1; 0 if it is something else; -EINVAL and
 * `why`. */
MUST_USE int scripted_line(struct scripted *s, struct scripted_words *w,
                           char why[SCRIPTED_WHY_BYTES]);
/* A whole script; other lines than these three are refused. 0 or -EINVAL; `why` names the line. */
MUST_USE int scripted_parse(struct scripted *s, struct slice text, char why[SCRIPTED_WHY_BYTES]);

/* ---- what tts_scripted says ---- */
/* Samples of a text of so many bytes: 55 ms per byte, from 200 ms to 20 s. */
int64_t scripted_samples(size_t text_bytes);
/* The i-th sample of a reply: a buzz whose period tells replies apart. */
int16_t scripted_sample(uint32_t reply, int64_t i);
/* The period of a reply's buzz in samples: 20 to 42, the same every twelve replies. */
int64_t scripted_period(uint32_t reply);

#endif
