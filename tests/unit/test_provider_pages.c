/* The pages of the providers behind a network: each provider has one, and the configuration that it
 * begins with, put into an agent's file, loads as that provider. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "actors/world.h"

#define FOLDER     SOURCE_DIR "/docs/providers"
#define PAGE_BYTES 65536
#define FENCE      "\n```"

static const char *const roles[] = {
    [PROVIDER_STT] = "stt", [PROVIDER_LLM] = "llm", [PROVIDER_TTS] = "tts"};

static const char *environment(const char *name)
{
    size_t len = strlen(name);

    return len > 8 && strcmp(name + len - 8, "_API_KEY") == 0 ? "a-key" : NULL;
}

static void page_read(const char *name, char *page)
{
    char path[600];

    snprintf(path, sizeof(path), FOLDER "/%s", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(page, 1, PAGE_BYTES - 1, file);
    assert_true(n < PAGE_BYTES - 1);
    page[n] = '\0';
    fclose(file);
}

/* What stands between the first ```yaml and its end. */
static struct slice page_example(const char *name, const char *page)
{
    const char *begin = strstr(page, FENCE "yaml\n");

    if (!begin)
        fail_msg("%s has no example", name);
    begin += sizeof(FENCE "yaml\n") - 1;
    const char *end = strstr(begin, FENCE);
    assert_non_null(end);
    return slice_of(begin, (size_t)(end - begin));
}

/* The example as an agent's file; roles that it leaves out are scripted. */
static struct agent *agent_of(const char *name, struct slice example)
{
    char text[8192], why[512];
    struct agent *agent;
    int n = snprintf(text, sizeof(text), "name: A\n%.*s\n", SLICE_ARG(example));

    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        char key[16];
        snprintf(key, sizeof(key), "\n%s:", roles[i]);
        if (!strstr(text, key))
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s: {provider: scripted}\n",
                          roles[i]);
    }
    assert_true(n < (int)sizeof(text));
    if (agent_read(name, slice_of(text, (size_t)n), environment, &agent, why, sizeof(why)))
        fail_msg("%s", why);
    return agent;
}

/* Does the example of this page load, and as this provider? */
static bool page_is_of(const char *name, const struct provider_ops *ops)
{
    static char page[PAGE_BYTES];
    char begins[128], why[512];
    struct bundle *bundle;

    page_read(name, page);
    struct slice example = page_example(name, page);
    snprintf(begins, sizeof(begins), "%s:\n  provider: %s\n", roles[ops->kind], ops->name);
    if (!memmem(example.at, example.len, begins, strlen(begins)))
        return false;
    struct agent *agent = agent_of(name, example);
    if (bundle_new(agent, ".", &bundle, why, sizeof(why)))
        fail_msg("%s", why);
    assert_ptr_equal(bundle->roles[ops->kind].at[0].ops, ops);
    bundle_free(&bundle);
    return true;
}

static size_t pages_of(const struct provider_ops *ops)
{
    DIR *dir = opendir(FOLDER);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (strstr(entry->d_name, ".md"))
            count += page_is_of(entry->d_name, ops);
    closedir(dir);
    return count;
}

/* One that runs no jobs and reads no file of its own is behind a network. */
static bool is_remote(const struct provider_ops *ops)
{
    return !ops->job_run && strcmp(ops->name, "scripted") != 0 && strcmp(ops->name, "rules") != 0;
}

static void every_remote_provider_has_a_page_that_works(void **state)
{
    const struct provider_ops *ops;
    size_t remote = 0;

    (void)state;
    for (size_t i = 0; (ops = provider_at(i)); i++) {
        if (!is_remote(ops))
            continue;
        remote++;
        if (pages_of(ops) != 1)
            fail_msg("%s %s has %zu pages", roles[ops->kind], ops->name, pages_of(ops));
    }
    assert_true(remote > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_remote_provider_has_a_page_that_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
