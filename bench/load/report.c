#include "bench/load/report.h"

#include "base/json.h"

#define BAD_CALLS_TOLD 20

uint32_t report_bad_calls(const struct load *l)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->call_count; i++)
        n += l->calls[i].what != NULL;
    for (uint32_t i = 0; i < LOAD_NOTES_MAX; i++)
        n += l->notes[i].count;
    return n;
}

static double span_s(const struct load_window *w)
{
    return (double)(w->to_ns - w->from_ns) / 1e9;
}

double report_cpu_pct(const struct load_window *w)
{
    if (!w->has_process || w->to_ns <= w->from_ns)
        return -1;
    return (double)(w->after.shard_ns - w->before.shard_ns) / 1e7 / span_s(w);
}

double report_us_pair(const struct load_window *w)
{
    double pairs = (double)w->sent; /* one in and one out per 20 ms of a call */

    if (!w->has_process || !w->sent)
        return -1;
    return (double)(w->after.shard_ns - w->before.shard_ns) / 1e3 / pairs;
}

double report_own_pct(const struct load_window *w)
{
    return w->to_ns > w->from_ns ? (double)w->own_ns / 1e7 / span_s(w) : 0;
}

double report_late_100k(const struct load_window *w)
{
    return w->slots ? (double)(w->late + w->missing) * 1e5 / (double)w->slots : 0;
}

int64_t report_rss_call(const struct load *l, const struct load_window *w)
{
    if (!w->has_process || !w->live || !l->at_start.rss_bytes)
        return -1;
    return (w->after.rss_bytes - l->at_start.rss_bytes) / (int64_t)w->live;
}

static void put_histogram(struct jsonw *w, const char *key, const struct histogram *h)
{
    jsonw_key(w, key);
    if (!h->count) {
        jsonw_null(w);
        return;
    }
    jsonw_begin(w);
    jsonw_put_int(w, "count", (int64_t)h->count);
    jsonw_put_int(w, "mean_us", (int64_t)(h->sum_us / h->count));
    jsonw_put_int(w, "p50_us", histogram_us(h, 500));
    jsonw_put_int(w, "p90_us", histogram_us(h, 900));
    jsonw_put_int(w, "p99_us", histogram_us(h, 990));
    jsonw_put_int(w, "p999_us", histogram_us(h, 999));
    jsonw_put_int(w, "max_us", h->max_us);
    jsonw_end(w);
}

static void put_known(struct jsonw *w, const char *key, double value, int decimals)
{
    jsonw_key(w, key);
    if (value < 0)
        jsonw_null(w);
    else
        jsonw_double(w, value, decimals);
}

static void put_counts(struct jsonw *w, const struct load_window *v)
{
    jsonw_put_int(w, "sent", (int64_t)v->sent);
    jsonw_put_int(w, "received", (int64_t)v->received);
    jsonw_put_int(w, "speech_sent", (int64_t)v->speech);
    jsonw_put_int(w, "voice_heard", (int64_t)v->voiced);
    jsonw_put_int(w, "turns", (int64_t)v->turns);
    jsonw_put_int(w, "unanswered", (int64_t)v->unanswered);
    jsonw_put_int(w, "unasked", (int64_t)v->unasked);
    jsonw_put_int(w, "slots", (int64_t)v->slots);
    jsonw_put_int(w, "late_slots", (int64_t)v->late);
    jsonw_put_int(w, "missing_slots", (int64_t)v->missing);
    jsonw_put_int(w, "wrong_audio", (int64_t)v->wrong);
    jsonw_put_int(w, "broken_audio", (int64_t)v->broken);
}

static void put_churn(struct jsonw *w, const struct load_window *v)
{
    jsonw_put_int(w, "rate", v->rate);
    jsonw_put_int(w, "begun", (int64_t)v->begun);
    jsonw_put_int(w, "admitted", (int64_t)v->admitted);
    jsonw_put_int(w, "refused", (int64_t)v->refused);
    jsonw_put_int(w, "completed", (int64_t)v->completed);
    jsonw_put_int(w, "held_back", (int64_t)v->held_back);
    put_histogram(w, "refusal", &v->refusal);
}

static void put_window(struct jsonw *w, const struct load *l, const struct load_window *v)
{
    jsonw_begin(w);
    jsonw_put_int(w, "calls_asked", v->calls);
    jsonw_put_int(w, "calls", v->live);
    jsonw_key(w, "seconds");
    jsonw_double(w, span_s(v), 3);
    put_counts(w, v);
    if (v->rate)
        put_churn(w, v);
    put_known(w, "late_slots_per_100k", report_late_100k(v), 2);
    put_known(w, "server_cpu_pct", report_cpu_pct(v), 2);
    put_known(w, "server_all_threads_pct",
              v->has_process ? (double)(v->after.all_ns - v->before.all_ns) / 1e7 / span_s(v) : -1,
              2);
    put_known(w, "us_per_pair", report_us_pair(v), 3);
    put_known(w, "server_rss_bytes", v->has_process ? (double)v->after.rss_bytes : -1, 0);
    put_known(w, "rss_bytes_per_call", (double)report_rss_call(l, v), 0);
    put_known(w, "harness_cpu_pct", report_own_pct(v), 2);
    jsonw_put_int(w, "harness_lost", (int64_t)v->lost);
    put_histogram(w, "response", &v->response);
    put_histogram(w, "lateness", &v->lateness);
    put_histogram(w, "wire", &v->wire);
    put_histogram(w, "harness_send_late", &v->send_late);
    jsonw_end(w);
}

static void put_bad_calls(struct jsonw *w, const struct load *l)
{
    uint32_t told = 0;

    jsonw_key(w, "bad");
    jsonw_begin_list(w);
    for (uint32_t i = 0; i < l->call_count && told < BAD_CALLS_TOLD; i++) {
        if (!l->calls[i].what)
            continue;
        jsonw_begin(w);
        jsonw_put_int(w, "call", i);
        jsonw_put_int(w, "faults", l->calls[i].faults);
        jsonw_put_cstr(w, "what", l->calls[i].what);
        jsonw_end(w);
        told++;
    }
    jsonw_end(w);
}

static int64_t ms_between(int64_t from_ns, int64_t to_ns)
{
    return (to_ns - from_ns) / MS(1);
}

/* Each stretch of faults with what its call was doing: enough to say whose it is. */
static void put_fault(struct jsonw *w, const struct load *l, const struct load_fault *f)
{
    static const char *const doing[] = {"hearing", "pausing", "speaking"};

    jsonw_begin(w);
    jsonw_put_cstr(w, "what", f->what);
    jsonw_put_int(w, "call", f->call);
    jsonw_put_int(w, "count", f->count);
    jsonw_put_int(w, "at_ms", ms_between(l->start_ns, f->at_ns));
    jsonw_put_int(w, "for_ms", ms_between(f->at_ns, f->last_ns));
    jsonw_put_cstr(w, "caller", doing[f->doing]);
    jsonw_put_int(w, "caller_for_ms", ms_between(f->doing_ns, f->at_ns));
    jsonw_put_int(w, "voice_for_ms", ms_between(f->voice_ns, f->at_ns));
    jsonw_put_int(w, "stream_ms", f->media_ms);
    jsonw_put_int(w, "turn", f->turn);
    jsonw_put_int(w, "reply", f->reply);
    jsonw_put_int(w, "period", f->period);
    jsonw_put_int(w, "period_wanted", f->wanted);
    jsonw_end(w);
}

static void put_faults(struct jsonw *w, const struct load *l)
{
    jsonw_key(w, "faults_told");
    jsonw_begin_list(w);
    for (uint32_t i = 0; i < l->told_count; i++)
        put_fault(w, l, &l->told[i]);
    jsonw_end(w);
}

void report_json(const struct load *l, struct builder *b)
{
    static const char *const vias[] = {"rtp", "twilio", "echo", "relay"};
    struct jsonw w;

    jsonw_init(&w, b);
    jsonw_begin(&w);
    jsonw_put_cstr(&w, "via", vias[l->options->via]);
    jsonw_put_cstr(&w, "codec", l->options->alaw ? "PCMA" : "PCMU");
    jsonw_put_int(&w, "seed", (int64_t)l->options->seed);
    jsonw_put_int(&w, "script_ms", l->options->script_ms);
    jsonw_put_int(&w, "quantum_us", load_quantum_us(l));
    jsonw_put_int(&w, "calls_begun", l->begun);
    jsonw_put_int(&w, "calls_refused", l->failed);
    jsonw_put_int(&w, "calls_dropped", l->dropped);
    jsonw_put_int(&w, "bad_calls", report_bad_calls(l));
    jsonw_put_int(&w, "faults", (int64_t)l->faults);
    put_bad_calls(&w, l);
    put_faults(&w, l);
    jsonw_key(&w, "notes");
    jsonw_begin(&w);
    for (uint32_t i = 0; i < LOAD_NOTES_MAX && l->notes[i].what; i++)
        jsonw_put_int(&w, l->notes[i].what, l->notes[i].count);
    jsonw_end(&w);
    put_histogram(&w, "setup", &l->setup);
    jsonw_key(&w, "steps");
    jsonw_begin_list(&w);
    for (uint32_t i = 0; i < l->window_count; i++)
        put_window(&w, l, &l->windows[i]);
    jsonw_end(&w);
    jsonw_end(&w);
    if (jsonw_finish(&w) < 0)
        b->bad = true;
}

static void churn_line(const struct load_window *w, FILE *out)
{
    fprintf(out,
            "%5u a second: %llu begun, %llu admitted, %llu refused within %.1f ms (p99), %llu "
            "completed\n",
            w->rate, (unsigned long long)w->begun, (unsigned long long)w->admitted,
            (unsigned long long)w->refused, histogram_us(&w->refusal, 990) / 1e3,
            (unsigned long long)w->completed);
}

void report_lines(const struct load *l, FILE *out)
{
    for (uint32_t i = 0; i < l->window_count; i++) {
        const struct load_window *w = &l->windows[i];
        const struct histogram *h = l->options->via >= LOAD_ECHO ? &w->wire : &w->response;
        fprintf(out,
                "%5u calls: cpu %.1f%%, %.2f us/pair, %s p50 %.1f p99 %.1f ms, late or missing "
                "%.1f of 100k, wrong %llu, broken %llu, unanswered %llu, unasked %llu, harness "
                "%.1f%%\n",
                w->live, report_cpu_pct(w), report_us_pair(w),
                l->options->via >= LOAD_ECHO ? "echo" : "response", histogram_us(h, 500) / 1e3,
                histogram_us(h, 990) / 1e3, report_late_100k(w), (unsigned long long)w->wrong,
                (unsigned long long)w->broken, (unsigned long long)w->unanswered,
                (unsigned long long)w->unasked, report_own_pct(w));
        if (w->rate)
            churn_line(w, out);
    }
    fprintf(out, "%u calls begun, %u refused, %u ended by the server, %u with a fault\n", l->begun,
            l->failed, l->dropped, report_bad_calls(l));
}
