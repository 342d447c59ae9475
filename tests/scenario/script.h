/* The language of .call files: one call told line by line, who says what and how soon the other
 * must answer. The parser is pure and bounded and names the line of an error; the interpreter
 * drives a `struct caller` and needs no clock of its own, so a script runs under the real clock
 * and under a virtual one alike. Integer arithmetic only; no allocation. docs/scenarios.md tells
 * the language. */
#ifndef SCENARIO_SCRIPT_H
#define SCENARIO_SCRIPT_H

#include "provider/scripted.h"
#include "tools/call/caller.h"

#define SCRIPT_STEPS_MAX   128
#define SCRIPT_EXPECTS_MAX 64
#define SCRIPT_TEXT_BYTES  16384 /* of all quoted texts but the providers' */
#define SCRIPT_FILE_BYTES  65536
#define SCRIPT_WHY_BYTES   256
#define SCRIPT_SAY_MAX_MS  20000
#define SCRIPT_QUIET_MS    600   /* so long after its last sound the agent has finished */
#define SCRIPT_PATIENCE_MS 30000 /* for the agent to finish before the caller acts */
#define SCRIPT_PERIOD      26    /* samples of the caller's buzz: 308 Hz and its overtones */

enum script_act {
    SCRIPT_AGENT_SAYS,        /* audible within `ms` of the step's beginning */
    SCRIPT_AGENT_REPLIES,     /* audible within `ms` of the caller's last voiced sample or digit */
    SCRIPT_AGENT_SILENT,      /* not audible any more `ms` after the caller's first voiced sample */
    SCRIPT_AGENT_QUIET,       /* says nothing for `ms` */
    SCRIPT_AGENT_FINISHES,    /* finished within `ms` */
    SCRIPT_CALLER_SAYS,       /* for `ms`, once the agent has finished */
    SCRIPT_CALLER_INTERRUPTS, /* `after_ms` into the agent's speech, for `ms` */
    SCRIPT_CALLER_PRESSES,    /* `text`, once the agent has finished */
    SCRIPT_CALLER_WAITS,      /* `ms` */
    SCRIPT_CALLER_SENDS,      /* `text` as a message, malformed on purpose */
    SCRIPT_CALLER_HANGS_UP,
    SCRIPT_CALLER_VANISHES, /* the connection is cut without a word */
    SCRIPT_CALL_ENDS,       /* by the far end within `ms` */
};

struct script_step {
    enum script_act act;
    uint32_t line;
    int64_t ms;
    int64_t after_ms;
    struct slice text;
};

/* What the call's log must say afterwards. */
struct script_expect {
    uint32_t line;
    uint32_t turn;     /* from 1; 0: of the call */
    struct slice key;  /* "status", "heard", "said", ... */
    struct slice text; /* its value */
};

struct script {
    char agent[64];
    bool has_greeting;
    struct slice greeting;
    const struct caller_dialect *dialect;
    struct scripted providers; /* the stt, llm and tts lines */
    struct script_step steps[SCRIPT_STEPS_MAX];
    uint32_t count;
    struct script_expect expects[SCRIPT_EXPECTS_MAX];
    uint32_t expect_count;
    uint8_t store[SCRIPT_TEXT_BYTES];
    size_t store_len;
};

/* 0, or -EINVAL and "line N: what". `text` is not kept. */
MUST_USE int script_parse(struct script *s, struct slice text, char why[SCRIPT_WHY_BYTES]);

/* Gives the agent `times` as long for everything it must do within some time: for a machine that is
 * busy with something else, or a server that a sanitizer slows down. */
void script_be_patient(struct script *s, uint32_t times);

enum script_result { SCRIPT_RUNNING, SCRIPT_PASSED, SCRIPT_FAILED, SCRIPT_CUT };

struct script_run {
    const struct script *script;
    uint32_t at;
    bool begun;      /* the step at `at` has begun to act */
    int64_t since;   /* timeline: when it became the next one */
    uint32_t spurts; /* of the ear when the caller last acted */
    uint32_t line;   /* of the step that failed */
    char why[SCRIPT_WHY_BYTES];
    int16_t pcm[SCRIPT_SAY_MAX_MS * (CALL_RATE_HZ / 1000)];
};

void script_start(struct script_run *r, const struct script *s);
/* After each caller_step(). SCRIPT_CUT: the owner cuts the connection now without a word, and the
 * script has passed. */
enum script_result script_drive(struct script_run *r, struct caller *c, struct caller_output *out);

#endif
