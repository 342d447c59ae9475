/* What the simulated providers hear and answer, as text: lines of a hearing script, and answers
 * with the rules that choose them. Pure: borrows the configuration's text, allocates nothing, draws
 * nothing. Any thread; written at boot.
 *
 *     hearing   "what are your hours"       the next utterance that sound makes
 *               "@2.5 what are your hours"  said when 2.5 s of sound have come, whatever they hold
 *               "~1.8 half past ten, please"  the next utterance, known to last 1.8 s: no pause
 *                                             before that ends it, unless it gets long
 *     answer    "We are open." | "Let me look. | call find {\"day\":\"monday\"}"
 *     rule      "open => We are open from eight to six, you asked: {last}" */
#ifndef PROVIDERS_SCRIPT_H
#define PROVIDERS_SCRIPT_H

#include "base/bytes.h"

#define SCRIPT_WHY_BYTES  160
#define SCRIPT_LINES_MAX  4096  /* of one hearing script; beyond: refused */
#define SCRIPT_BYTES_MAX  65536 /* of a script file; beyond: refused */
#define ANSWER_PARTS_MAX  8     /* texts and calls of one answer; beyond: refused */
#define ANSWER_BYTES_MAX  8192  /* of one answer with {last} put in; beyond: cut */
#define ANSWER_LAST_MAX   2048  /* of {last}; beyond: cut */
#define TOOL_NAME_MAX     64
#define HEARD_SECONDS_MAX 86400.0

#define HEARD_IN_ORDER -1

/* One line of a hearing script. */
struct heard {
    struct slice text;
    int64_t at_ms;    /* on the clock of the sound, or HEARD_IN_ORDER */
    int64_t lasts_ms; /* 0: not known */
};

/* 0, or -EINVAL with one clause in `why` (SCRIPT_WHY_BYTES). */
MUST_USE int heard_parse(struct slice line, struct heard *out, char *why);

/* A rule: `match` is empty for an answer that is given in order. */
struct answer_rule {
    struct slice match; /* found anywhere in what was said, whatever the case; "*": always */
    struct slice answer;
};

MUST_USE int answer_rule_parse(struct slice line, struct answer_rule *out, char *why);
bool answer_rule_fits(const struct answer_rule *rule, struct slice said);

/* A text to say, or a tool to call with its arguments as JSON. */
struct answer_part {
    struct slice text; /* empty for a call */
    struct slice tool;
    struct slice arguments;
};

struct answer {
    struct answer_part parts[ANSWER_PARTS_MAX];
    size_t count;
    uint8_t store[ANSWER_BYTES_MAX];
};

/* Cuts an answer into its parts and puts `last` in for {last}, quoted where it stands within a
 * call's JSON. -EINVAL: no parts, too many, a call without name or with arguments that are no
 * object. */
MUST_USE int answer_make(struct slice text, struct slice last, struct answer *out, char *why);

/* The next token of a text as a language model would cut it: a word with the blanks before it.
 * Empty at the end. Never splits a character. */
struct slice token_next(struct slice *rest);
/* How many tokens there are. */
size_t token_count(struct slice text);
/* The first `count` tokens, and what is behind them. */
struct slice token_first(struct slice text, size_t count);
struct slice token_skip(struct slice text, size_t count);

#endif
