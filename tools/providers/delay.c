#include "tools/providers/delay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define P95_DEVIATIONS 1.6448536269514722 /* of the normal distribution */
#define NUMBER_BYTES   24

static int refuse(char *why, const char *what)
{
    snprintf(why, DELAY_WHY_BYTES, "%s", what);
    return -EINVAL;
}

static struct slice next_word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    return slice_cut(*rest, ' ', rest);
}

static int number_parse(struct slice word, double *out)
{
    char text[NUMBER_BYTES];
    char *end;

    if (word.len == 0 || slice_cstr(word, text, sizeof(text)) < 0 ||
        text[strspn(text, "0123456789.")])
        return -EINVAL;
    *out = strtod(text, &end);
    return *end || *out > DELAY_MS_MAX ? -EINVAL : 0;
}

int delay_parse(struct slice text, struct delay *out, char *why)
{
    struct slice rest = text;
    struct slice word = next_word(&rest);
    bool two = true;

    *out = (struct delay){.kind = DELAY_CONSTANT};
    if (slice_equal(word, SLICE("uniform")))
        out->kind = DELAY_UNIFORM;
    else if (slice_equal(word, SLICE("lognormal")))
        out->kind = DELAY_LOGNORMAL;
    else
        two = false;
    if (two || slice_equal(word, SLICE("constant")))
        word = next_word(&rest);
    if (number_parse(word, &out->a_ms) < 0 ||
        (two && number_parse(next_word(&rest), &out->b_ms) < 0) || slice_trim(rest).len)
        return refuse(why, "is not \"constant MS\", \"uniform MS MS\" or \"lognormal P50 P95\", "
                           "each up to 600000");
    if (two && out->b_ms < out->a_ms)
        return refuse(why, "runs backwards: the second number is the smaller one");
    if (out->kind == DELAY_LOGNORMAL && out->a_ms <= 0)
        return refuse(why, "has a median of 0, which no log-normal distribution has");
    return 0;
}

/* In 0..1, neither of them. */
static double fraction(struct rand *chance)
{
    return ((double)(rand_u64(chance) >> 11) + 0.5) / 9007199254740992.0;
}

static double draw_ms(const struct delay *d, struct rand *chance)
{
    switch (d->kind) {
    case DELAY_CONSTANT:
        return d->a_ms;
    case DELAY_UNIFORM:
        return d->a_ms + (d->b_ms - d->a_ms) * fraction(chance);
    case DELAY_LOGNORMAL:
        break;
    }
    double radius = sqrt(-2 * log(fraction(chance)));
    double normal = radius * cos(2 * M_PI * fraction(chance));
    return d->a_ms * exp(log(d->b_ms / d->a_ms) / P95_DEVIATIONS * normal);
}

int64_t delay_draw(const struct delay *d, struct rand *chance)
{
    double ms = draw_ms(d, chance);

    return (int64_t)((ms < DELAY_MS_MAX ? ms : DELAY_MS_MAX) * (double)NS_PER_MS);
}
