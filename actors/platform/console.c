#include "actors/platform/console.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static const struct {
    const char *ending;
    const char *content_type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

/* NULL for a file that is none of ours: an editor's leavings, a folder. */
static const char *type_of(const char *name)
{
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; ending && ending != name && i < ARRAY_LEN(types); i++)
        if (strcmp(ending, types[i].ending) == 0)
            return types[i].content_type;
    return NULL;
}

static void *bytes_new(size_t size)
{
    void *at = malloc(size);

    if (!at)
        abort();
    return at;
}

static bool file_load(const char *path, struct slice *out)
{
    FILE *file = fopen(path, "rb");
    size_t len = 0;

    if (!file)
        return false;
    uint8_t *at = bytes_new(CONSOLE_FILE_MAX + 1);
    len = fread(at, 1, CONSOLE_FILE_MAX + 1, file);
    bool whole = !ferror(file) && len <= CONSOLE_FILE_MAX;
    fclose(file);
    if (!whole) {
        free(at);
        return false;
    }
    *out = slice_of(at, len);
    return true;
}

static void add_load(struct console *c, const char *folder, const char *name)
{
    struct console_file *file = &c->files[c->count];
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (c->count == CONSOLE_FILES_MAX || strlen(name) >= sizeof(file->name) ||
        !file_load(path, &file->bytes)) {
        log_warn("console", NULL, "%s is not served", path);
        return;
    }
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->content_type = type_of(name);
    c->count++;
}

struct console *console_new(const char *share_dir)
{
    struct console *c = calloc(1, sizeof(*c));
    char folder[768];

    if (!c)
        abort();
    if (!share_dir)
        return c;
    snprintf(folder, sizeof(folder), "%s/console", share_dir);
    DIR *dir = opendir(folder);
    if (!dir) {
        log_warn("console", NULL, "%s is missing: there will be no talk page", folder);
        return c;
    }
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (type_of(e->d_name))
            add_load(c, folder, e->d_name);
    closedir(dir);
    return c;
}

void console_free(struct console **console)
{
    struct console *c = *console;

    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        free((void *)(uintptr_t)c->files[i].bytes.at);
    free(c);
    *console = NULL;
}

const struct console_file *console_find(const struct console *console, struct slice name)
{
    for (size_t i = 0; i < console->count; i++)
        if (slice_equal(slice_str(console->files[i].name), name))
            return &console->files[i];
    return NULL;
}
