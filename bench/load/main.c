/* sidetone-load: drives a voice server with many honest calls and shows what they got and cost. */
#include <stdlib.h>

#include "bench/load/load.h"
#include "bench/load/report.h"

static struct load load;
static uint8_t json_store[REPORT_BYTES], html_store[REPORT_BYTES];

static int write_file(const char *path, struct slice text)
{
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");

    if (!f) {
        perror(path);
        return -1;
    }
    bool good = fwrite(text.at, 1, text.len, f) == text.len;
    if (f == stdout)
        return fputc('\n', f) == EOF || fflush(f) != 0 || !good ? -1 : 0;
    return fclose(f) != 0 || !good ? -1 : 0;
}

static int write_reports(const struct load_options *o)
{
    struct builder json = builder_of(json_store, sizeof(json_store));
    struct builder html = builder_of(html_store, sizeof(html_store));
    int err = 0;

    report_json(&load, &json);
    report_html(&load, builder_slice(&json), &html);
    if (json.bad || html.bad) {
        fputs("sidetone-load: the report is too long\n", stderr);
        return -1;
    }
    if (o->json)
        err |= write_file(o->json, builder_slice(&json));
    if (o->html)
        err |= write_file(o->html, builder_slice(&html));
    return err;
}

int main(int argc, char **argv)
{
    static struct load_options options;

    switch (options_read(&options, argc, argv)) {
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_BAD:
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (load_run(&load, &options) < 0)
        return 2;
    report_lines(&load, options.json && strcmp(options.json, "-") == 0 ? stderr : stdout);
    int err = write_reports(&options);
    bool good = report_bad_calls(&load) == 0;
    load_fini(&load);
    return err ? 2 : good ? 0 : 1;
}
