#include "tools/call/report.h"

#include <string.h>

#include "base/json.h"

const char *report_status(const struct report *r)
{
    if (!r->placed)
        return "refused";
    if (r->timed_out)
        return "timeout";
    switch (r->caller->end) {
    case CALLER_END_OURS:
    case CALLER_END_THEIRS:
        return plan_done(r->plan) ? "completed" : "ended_early";
    case CALLER_END_REFUSED:
        return "refused";
    case CALLER_END_NONE:
    case CALLER_END_BROKEN:
        break;
    }
    return "failed";
}

static void put_ms(struct jsonw *w, const char *key, bool known, int64_t ms)
{
    jsonw_key(w, key);
    if (known)
        jsonw_int(w, ms);
    else
        jsonw_null(w);
}

static void turn_json(const struct report *r, uint32_t turn, struct jsonw *w)
{
    const struct plan_turn *t = &r->plan->turns[turn];
    const struct plan_step *s = &r->plan->steps[t->step];

    jsonw_begin(w);
    jsonw_put_int(w, "turn", turn + 1);
    jsonw_put_cstr(w, "meant", s->meant[0] ? s->meant : NULL);
    put_ms(w, "voice_to_voice_ms", t->answered, t->voice_to_voice_ms);
    jsonw_put_bool(w, "barge_in", s->barge_in);
    jsonw_put_cstr(w, "dtmf", s->act == PLAN_PRESS ? s->digits : NULL);
    put_ms(w, "barge_in_stop_ms", t->interrupted && t->stopped, t->stop_ms);
    jsonw_put_int(w, "said_from_ms", t->begin_ms);
    jsonw_put_int(w, "said_to_ms", t->end_ms);
    put_ms(w, "answer_at_ms", t->answered, t->answer_ms);
    jsonw_end(w);
}

static void turn_text(const struct report *r, uint32_t turn, struct builder *out)
{
    const struct plan_turn *t = &r->plan->turns[turn];
    const struct plan_step *s = &r->plan->steps[t->step];

    if (s->act == PLAN_PRESS)
        builder_printf(out, "%2u  pressed %s", turn + 1, s->digits);
    else
        builder_printf(out, "%2u  said \"%s\"", turn + 1, s->meant);
    if (t->interrupted && t->stopped)
        builder_printf(out, ", interrupting: the agent stopped after %lld ms",
                       (long long)t->stop_ms);
    else if (t->interrupted)
        builder_str(out, ", interrupting: the agent went on");
    if (t->answered)
        builder_printf(out, ", answered after %lld ms", (long long)t->voice_to_voice_ms);
    else
        builder_str(out, ", no answer");
}

void report_turn(const struct report *r, uint32_t turn, bool json, struct builder *out)
{
    struct jsonw w;

    if (!json) {
        turn_text(r, turn, out);
        return;
    }
    jsonw_init(&w, out);
    turn_json(r, turn, &w);
}

static void call_json(const struct report *r, struct jsonw *w)
{
    const struct caller *c = r->caller;

    jsonw_begin(w);
    jsonw_put_cstr(w, "call_id", r->call_id);
    jsonw_put_cstr(w, "status", report_status(r));
    jsonw_put_cstr(w, "protocol", r->protocol);
    jsonw_key(w, "began_ms");
    jsonw_double(w, (double)c->start_ns / 1e6, 3);
    jsonw_key(w, "turns");
    jsonw_begin_list(w);
    for (uint32_t i = 0; i < r->plan->turn_count; i++)
        turn_json(r, i, w);
    jsonw_end(w);
    jsonw_put_cstr(w, "recording", r->recording);
    jsonw_put_cstr(w, "ended", c->what);
    jsonw_put_cstr(w, "error", r->error);
    jsonw_put_int(w, "duration_ms", r->placed ? c->frames * 20 : 0);
    jsonw_put_int(w, "late_frames", (int64_t)c->late_frames);
    jsonw_put_int(w, "clears", c->clears);
    jsonw_put_int(w, "overrun_samples", (int64_t)c->ear.overruns);
    jsonw_put_int(w, "skipped_samples", (int64_t)c->ear.skipped);
    jsonw_end(w);
}

void report_call(const struct report *r, bool json, struct builder *out)
{
    struct jsonw w;

    if (json) {
        jsonw_init(&w, out);
        call_json(r, &w);
        return;
    }
    builder_printf(out, "call %s: %s", r->call_id, report_status(r));
    if (r->error || r->caller->what[0])
        builder_printf(out, " (%s)", r->error ? r->error : r->caller->what);
    if (r->recording)
        builder_printf(out, ", recorded in %s", r->recording);
}
