#include "tools/call/plan_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define PATH_BYTES 4096

struct parse {
    const struct json_doc *doc;
    const char *folder;
    plan_load *load;
    char *why;
    const char *list; /* path of the list: "" or "steps." */
    uint32_t at;
};

static const char *key_of(const struct parse *p, char path[64], const char *key)
{
    snprintf(path, 64, "%s%u%s%s", p->list, p->at, *key ? "." : "", key);
    return path;
}

static int bad(const struct parse *p, const char *what)
{
    snprintf(p->why, PLAN_WHY_BYTES, "step %u of the plan: %s", p->at + 1, what);
    return -EINVAL;
}

static int take_say(const struct parse *p, struct plan_step *s)
{
    char path[64], name[PATH_BYTES / 2], file[PATH_BYTES];
    int64_t last;

    s->act = PLAN_SAY;
    if (json_text_of(p->doc, key_of(p, path, "say"), name, sizeof(name)) < 0)
        return bad(p, "\"say\" is not a file name");
    snprintf(file, sizeof(file), "%s%s", name[0] == '/' ? "" : p->folder, name);
    int err = p->load(file, &s->clip, p->why);
    if (err < 0)
        return err;
    err = json_int_of(p->doc, key_of(p, path, "last_voiced_sample"), 0, s->clip.samples - 1, &last);
    if (err == 0)
        s->clip.voiced_last = last;
    else if (err != -ENOENT)
        return bad(p, "\"last_voiced_sample\" is not a sample of its file");
    err = json_bool_of(p->doc, key_of(p, path, "barge_in"), &s->barge_in);
    return err == 0 || err == -ENOENT ? 0 : bad(p, "\"barge_in\" is neither true nor false");
}

static int take_press(const struct parse *p, struct plan_step *s)
{
    char path[64];

    s->act = PLAN_PRESS;
    if (json_text_of(p->doc, key_of(p, path, "press"), s->digits, sizeof(s->digits)) < 0 ||
        s->digits[0] == 0 || s->digits[strspn(s->digits, "0123456789*#ABCD")])
        return bad(p, "\"press\" is not one to 32 keys of a telephone");
    return 0;
}

static int take_step(const struct parse *p, struct plan_step *s)
{
    char path[64];
    bool up = false;

    memset(s, 0, sizeof(*s));
    if (json_kind_of(p->doc, key_of(p, path, "meant")) != JSON_KIND_NONE &&
        json_text_of(p->doc, path, s->meant, sizeof(s->meant)) < 0)
        return bad(p, "\"meant\" is not a text of at most 511 bytes");
    if (json_kind_of(p->doc, key_of(p, path, "say")) != JSON_KIND_NONE)
        return take_say(p, s);
    if (json_kind_of(p->doc, key_of(p, path, "press")) != JSON_KIND_NONE)
        return take_press(p, s);
    if (json_int_of(p->doc, key_of(p, path, "wait_ms"), 0, PLAN_WAIT_MAX_MS, &s->wait_ms) == 0) {
        s->act = PLAN_WAIT;
        return 0;
    }
    if (json_bool_of(p->doc, key_of(p, path, "hang_up"), &up) == 0 && up) {
        s->act = PLAN_HANG_UP;
        return 0;
    }
    return bad(p, "it holds none of say, press, wait_ms (0 to 60000) and hang_up");
}

static int take_steps(struct parse *p, struct plan_step *steps, uint32_t *count)
{
    const char *list = json_kind_of(p->doc, "") == JSON_KIND_LIST ? "" : "steps";
    size_t n = json_count_of(p->doc, list);

    p->list = *list ? "steps." : "";
    if (json_kind_of(p->doc, list) != JSON_KIND_LIST || n == 0 || n > PLAN_STEPS_MAX) {
        snprintf(p->why, PLAN_WHY_BYTES, "the plan is not a list of 1 to %d steps", PLAN_STEPS_MAX);
        return -EINVAL;
    }
    for (p->at = 0; p->at < n; p->at++) {
        int err = take_step(p, &steps[p->at]);
        if (err < 0)
            return err;
    }
    *count = (uint32_t)n;
    return 0;
}

int plan_parse(struct slice text, const char *folder, plan_load *load, struct plan_step *steps,
               uint32_t *count, char why[PLAN_WHY_BYTES])
{
    struct json_doc doc = {NULL};
    char clause[JSON_WHY_BYTES];
    struct parse p = {.doc = &doc, .folder = folder, .load = load, .why = why};

    *count = 0;
    if (json_read(&doc, text, PLAN_FILE_BYTES_MAX, clause) < 0) {
        snprintf(why, PLAN_WHY_BYTES, "the plan is not JSON: %s", clause);
        return -EINVAL;
    }
    int err = take_steps(&p, steps, count);
    json_free(&doc);
    return err;
}
