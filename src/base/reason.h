/* Why something failed or ended. Everybody uses it, on every thread; it owns nothing: `what` is
 * always a string literal, so a reason can be copied into a message and outlive its sender. */
#ifndef BASE_REASON_H
#define BASE_REASON_H

/* 0 or -errno comes back, and the caller looks at it. */
#define MUST_USE                 __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

struct reason {
    int err;          /* 0: an ordinary end; else a positive errno */
    const char *what; /* one clause in lower case, a literal, never NULL once set */
};

#define REASON(error, text) ((struct reason){.err = (error), .what = (text)})
#define REASON_NONE         ((struct reason){.err = 0, .what = ""})

#define ARRAY_LEN(a)                   (sizeof(a) / sizeof((a)[0]))
#define container_of(at, type, member) ((type *)((char *)(at)-offsetof(type, member)))

#endif
