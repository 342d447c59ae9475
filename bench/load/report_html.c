/* The page: inline SVG, no script, nothing loaded from anywhere. */
#include "bench/load/report.h"

#include <inttypes.h>

#define PLOT_W 560
#define PLOT_H 270
#define LEFT   64
#define RIGHT  16
#define TOP    14
#define BOTTOM 46
#define LINES  4
#define GRID   4

struct line {
    const char *name, *colour;
    double y[LOAD_SECONDS_MAX];
};

struct plot {
    const char *title, *x_name, *y_name;
    uint32_t points, lines;
    double x[LOAD_SECONDS_MAX];
    struct line line[LINES];
};

static struct plot plot; /* too large for a stack, and the program has one thread */

static void put_text(struct builder *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            builder_str(b, "&lt;");
        else if (*text == '>')
            builder_str(b, "&gt;");
        else if (*text == '&')
            builder_str(b, "&amp;");
        else
            builder_u8(b, (uint8_t)*text);
    }
}

static void open_plot(const char *title, const char *x_name, const char *y_name)
{
    plot.title = title;
    plot.x_name = x_name;
    plot.y_name = y_name;
    plot.points = plot.lines = 0;
}

static struct line *add_line(const char *name)
{
    static const char *const colours[LINES] = {"#0b62a4", "#c1440e", "#2b7a3d", "#7a3b99"};
    struct line *l = &plot.line[plot.lines];

    l->name = name;
    l->colour = colours[plot.lines++];
    return l;
}

/* A number above the value whose quarters are round. */
static double round_up(double value)
{
    double step = 1e-3;

    if (value <= 0)
        return 1;
    while (step * 10 < value)
        step *= 10;
    for (int times = 2; times <= 8; times += 2)
        if (value <= step || value <= times * step)
            return value <= step ? step : times * step;
    return 10 * step;
}

static double top_of(bool x)
{
    double top = 0;

    for (uint32_t i = 0; i < plot.points; i++)
        for (uint32_t k = 0; k < (x ? 1 : plot.lines); k++) {
            double value = x ? plot.x[i] : plot.line[k].y[i];
            top = value > top ? value : top;
        }
    return round_up(top);
}

static double x_at(double value, double top)
{
    return LEFT + value / top * (PLOT_W - LEFT - RIGHT);
}

static double y_at(double value, double top)
{
    return PLOT_H - BOTTOM - value / top * (PLOT_H - BOTTOM - TOP);
}

static void put_axes(struct builder *b, double x_top, double y_top)
{
    for (int i = 0; i <= GRID; i++) {
        double x = x_top * i / GRID, y = y_top * i / GRID;
        builder_printf(b,
                       "<path class=g d=\"M%.1f %.1fH%d\"/><text class=y x=%d y=%.1f>%.4g</text>"
                       "<text class=%s x=%.1f y=%d>%.4g</text>\n",
                       x_at(0, x_top), y_at(y, y_top), PLOT_W - RIGHT, LEFT - 8, y_at(y, y_top) + 5,
                       y, i == GRID ? "y" : "x", i == GRID ? PLOT_W - 4 : x_at(x, x_top),
                       PLOT_H - BOTTOM + 18, x);
    }
    builder_printf(b, "<text class=x x=%d y=%d>%s</text>\n", (PLOT_W + LEFT) / 2, PLOT_H - 6,
                   plot.x_name);
}

static void put_line(struct builder *b, const struct line *l, double x_top, double y_top)
{
    builder_printf(b, "<polyline stroke=\"%s\" points=\"", l->colour);
    for (uint32_t i = 0; i < plot.points; i++)
        builder_printf(b, "%.1f,%.1f ", x_at(plot.x[i], x_top), y_at(l->y[i], y_top));
    builder_str(b, "\"/>");
    for (uint32_t i = 0; i < plot.points && plot.points <= LOAD_STEPS_MAX; i++)
        builder_printf(b,
                       "<circle r=3 fill=\"%s\" cx=%.1f cy=%.1f><title>%s: %.4g at %.4g</title>"
                       "</circle>",
                       l->colour, x_at(plot.x[i], x_top), y_at(l->y[i], y_top), l->name, l->y[i],
                       plot.x[i]);
}

/* Beside the plot, where no line can lie under it. */
static void put_legend(struct builder *b)
{
    builder_printf(b, "<div class=l>%s", plot.y_name);
    for (uint32_t i = 0; i < plot.lines; i++)
        builder_printf(b, " <b style=\"color:%s\">&#9473; %s</b>", plot.line[i].colour,
                       plot.line[i].name);
    builder_str(b, "</div>");
}

static void put_plot(struct builder *b)
{
    double x_top = top_of(true), y_top = top_of(false);

    builder_printf(b, "<figure><figcaption>%s</figcaption>", plot.title);
    put_legend(b);
    builder_printf(b, "<svg viewBox=\"0 0 %d %d\" role=img>\n", PLOT_W, PLOT_H);
    put_axes(b, x_top, y_top);
    for (uint32_t i = 0; i < plot.lines; i++)
        put_line(b, &plot.line[i], x_top, y_top);
    builder_str(b, "</svg></figure>\n");
}

/* ---- the plots over calls ---- */

static const struct histogram *delays(const struct load *l, const struct load_window *w)
{
    return l->options->via >= LOAD_ECHO ? &w->wire : &w->response;
}

static void plot_response(const struct load *l, struct builder *b)
{
    static const uint32_t per_mille[] = {500, 900, 990};
    static const char *const names[] = {"p50", "p90", "p99"};

    open_plot(l->options->via >= LOAD_ECHO ? "There and back"
                                           : "Response: last speech to the reply's first packet",
              "calls", "ms");
    plot.points = l->window_count;
    for (uint32_t k = 0; k < 3; k++) {
        struct line *line = add_line(names[k]);
        for (uint32_t i = 0; i < l->window_count; i++) {
            plot.x[i] = l->windows[i].live;
            line->y[i] = histogram_us(delays(l, &l->windows[i]), per_mille[k]) / 1e3;
        }
    }
    put_plot(b);
}

static void plot_one(const struct load *l, const char *title, const char *unit, const char *name,
                     double (*value)(const struct load *, const struct load_window *),
                     struct builder *b)
{
    open_plot(title, "calls", unit);
    plot.points = l->window_count;
    struct line *line = add_line(name);
    for (uint32_t i = 0; i < l->window_count; i++) {
        double y = value(l, &l->windows[i]);
        plot.x[i] = l->windows[i].live;
        line->y[i] = y > 0 ? y : 0;
    }
    put_plot(b);
}

static double cpu_per_call(const struct load *l, const struct load_window *w)
{
    (void)l;
    return w->live ? report_cpu_pct(w) * 1e4 / w->live : 0; /* % of a core to us per second */
}

static double late_slots(const struct load *l, const struct load_window *w)
{
    (void)l;
    return report_late_100k(w);
}

static double rss_per_call(const struct load *l, const struct load_window *w)
{
    return (double)report_rss_call(l, w) / 1024;
}

static void plot_time(const struct load *l, struct builder *b)
{
    open_plot("The run: server CPU", "seconds", "% of a core");
    plot.points = l->second_count;
    struct line *cpu = add_line("shard CPU");
    for (uint32_t i = 0; i < l->second_count; i++) {
        plot.x[i] = i + 1;
        cpu->y[i] = l->seconds[i].cpu_per_mille / 10.0;
    }
    put_plot(b);
    open_plot("The run: calls", "seconds", "calls");
    plot.points = l->second_count;
    struct line *live = add_line("held");
    for (uint32_t i = 0; i < l->second_count; i++)
        live->y[i] = l->seconds[i].live;
    put_plot(b);
    open_plot("The run: server memory", "seconds", "MB");
    plot.points = l->second_count;
    struct line *rss = add_line("RSS");
    for (uint32_t i = 0; i < l->second_count; i++)
        rss->y[i] = l->seconds[i].rss_kb / 1024.0;
    put_plot(b);
}

/* ---- the table ---- */

/* A cell; what is below zero was not measured. */
static void put_known(struct builder *b, double value, int decimals)
{
    if (value < 0)
        builder_str(b, "<td>&ndash;");
    else
        builder_printf(b, "<td>%.*f", decimals, value);
}

static void put_row(const struct load *l, const struct load_window *w, struct builder *b)
{
    const struct histogram *h = delays(l, w);

    builder_printf(b, "<tr><td>%u", w->live);
    put_known(b, report_cpu_pct(w), 1);
    put_known(b, report_us_pair(w), 2);
    put_known(b, h->count ? histogram_us(h, 500) / 1e3 : -1, 1);
    put_known(b, h->count ? histogram_us(h, 990) / 1e3 : -1, 1);
    put_known(b, report_late_100k(w), 1);
    builder_printf(b, "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64,
                   w->turns, w->unanswered, w->unasked, w->wrong, w->broken);
    builder_printf(b, "<td>%.1f<td>%.1f</tr>\n", report_own_pct(w),
                   histogram_us(&w->send_late, 990) / 1e3);
}

static void put_table(const struct load *l, struct builder *b)
{
    builder_str(
        b,
        "<div class=t><table><tr><th>calls<th>server shard CPU %<th>us per packet pair<th>p50 ms"
        "<th>p99 ms<th>late or missing slots of 100k<th>turns<th>unanswered"
        "<th>unasked<th>wrong audio<th>broken audio<th>harness CPU %<th>harness sends late, p99 ms"
        "</tr>\n");
    for (uint32_t i = 0; i < l->window_count; i++)
        put_row(l, &l->windows[i], b);
    builder_str(b, "</table></div>\n");
    builder_printf(b,
                   "<p>%u calls begun, %u refused, %u ended by the server, %u with a fault.</p>\n",
                   l->begun, l->failed, l->dropped, report_bad_calls(l));
    builder_printf(b,
                   "<p>Seed %" PRIu64 "; packets due within %" PRId64 " us left together; %" PRId64
                   " ms of the script's own delays are taken off the response.</p>\n",
                   l->options->seed, load_quantum_us(l), l->options->script_ms);
}

void report_html(const struct load *l, struct slice json, struct builder *b)
{
    builder_str(b, "<!doctype html><html lang=en><meta charset=utf-8>"
                   "<meta name=viewport content=\"width=device-width\"><title>");
    put_text(b, l->options->title);
    builder_str(
        b, "</title><style>body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;"
           "margin:24px auto;padding:0 16px;color:#1b1f24}"
           "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));"
           "gap:24px}figure{margin:0}figcaption{font-weight:600}"
           ".l{color:#444;font-size:13px;margin:2px 0 4px}.l b{margin-left:10px;font-weight:600}"
           "svg{width:100%;background:#fbfbfa;border:1px solid #ddd;box-sizing:border-box}"
           "svg text{font-size:13px;fill:#444}.x{text-anchor:middle}.y{text-anchor:end}"
           ".g{stroke:#e4e4e0}polyline{fill:none;stroke-width:2}"
           "table{border-collapse:collapse;margin:16px 0}td,th{border:1px solid #ddd;"
           "padding:4px 8px;text-align:right;font-weight:400}th{background:#f4f4f1}"
           ".t{overflow-x:auto}td,th{white-space:nowrap}th{white-space:normal;min-width:56px}"
           "@media(max-width:600px){svg text{font-size:18px}h1{font-size:24px}}"
           "pre{overflow:auto;background:#f4f4f1;padding:8px;white-space:pre-wrap;"
           "word-break:break-all}</style><h1>");
    put_text(b, l->options->title);
    builder_str(b, "</h1>\n");
    put_table(l, b);
    builder_str(b, "<main>\n");
    plot_response(l, b);
    plot_one(l, "Server CPU per call", "us per second of a call", "shard", cpu_per_call, b);
    plot_one(l, "Slots late by over 5 ms, or missing", "of 100,000", "slots", late_slots, b);
    plot_one(l, "Memory per call, RSS grown since before the calls", "KB", "RSS", rss_per_call, b);
    plot_time(l, b);
    builder_str(b, "</main><details><summary>JSON</summary><pre>");
    for (size_t i = 0; i < json.len; i++)
        put_text(b, (const char[]){(char)json.at[i], '\0'});
    builder_str(b, "</pre></details></html>\n");
}
