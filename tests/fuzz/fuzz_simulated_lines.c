/* Any bytes as the lines of a configuration: delays, faults, hearing scripts, rules and answers are
 * read or refused with a clause. */
#include <assert.h>

#include "tools/providers/delay.h"
#include "tools/providers/fault.h"
#include "tools/providers/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void delay_try(struct slice text)
{
    char why[DELAY_WHY_BYTES] = "";
    struct rand chance = {1};
    struct delay d;

    if (delay_parse(text, &d, why) < 0) {
        assert(why[0]);
        return;
    }
    int64_t drawn = delay_draw(&d, &chance);
    assert(drawn >= 0 && drawn <= MS(DELAY_MS_MAX));
}

static void fault_try(struct slice text)
{
    char why[FAULT_WHY_BYTES] = "";
    struct rand chance = {1};
    struct fault f;

    if (fault_parse(text, &f, why) < 0)
        assert(why[0]);
    else
        (void)fault_pick(&f, 1, f.service, 1, text, &chance);
}

static void answer_try(struct slice text)
{
    static struct answer a;
    char why[SCRIPT_WHY_BYTES] = "";
    size_t len = 0;

    if (answer_make(text, text, &a, why) < 0) {
        assert(why[0]);
        return;
    }
    assert(a.count > 0 && a.count <= ANSWER_PARTS_MAX);
    for (size_t i = 0; i < a.count; i++)
        for (struct slice rest = a.parts[i].text, t = token_next(&rest); t.len;
             t = token_next(&rest))
            len += t.len;
    assert(len <= ANSWER_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    char why[SCRIPT_WHY_BYTES] = "";
    struct heard h;
    struct answer_rule r;

    delay_try(text);
    fault_try(text);
    answer_try(text);
    if (heard_parse(text, &h, why) < 0)
        assert(why[0]);
    if (answer_rule_parse(text, &r, why) == 0) {
        (void)answer_rule_fits(&r, text);
        answer_try(r.answer);
    }
    return 0;
}
