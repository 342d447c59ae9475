#include "config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(enum field_type type)
{
    switch (type) {
    case FIELD_BOOL:
        return "true or false";
    case FIELD_WHOLE:
        return "whole number";
    case FIELD_NUMBER:
        return "number";
    case FIELD_TEXT:
        return "text";
    case FIELD_CHOICE:
        return "one of";
    case FIELD_PATH:
        return "path";
    case FIELD_ADDRESS:
        return "address:port";
    case FIELD_HOST:
        return "address";
    case FIELD_PORTS:
        return "port range";
    case FIELD_TEXTS:
        return "list of texts";
    case FIELD_PATHS:
        return "list of paths";
    case FIELD_SETTINGS:
        return "any further keys";
    case FIELD_TREE:
        return "list of blocks";
    }
    return "";
}

/* "whole number 0 to 64", "one of auto, uring, epoll" */
static void type_print(FILE *out, const struct schema_field *f)
{
    fputs(type_name(f->type), out);
    if (f->type == FIELD_WHOLE || f->type == FIELD_NUMBER)
        fprintf(out, " %.10g to %.10g", f->least, f->most);
    if (f->type == FIELD_TEXT && f->most > 0)
        fprintf(out, " of %.0f to %.0f characters", f->least, f->most);
    if (f->type != FIELD_CHOICE)
        return;
    struct slice rest = slice_str(f->rule);

    for (int i = 0; rest.len; i++) {
        struct slice word = slice_cut(rest, '|', &rest);

        fprintf(out, "%s%.*s", i ? ", " : " ", SLICE_ARG(word));
    }
}

static bool quotes_needed(const struct schema_field *f, const char *text)
{
    if (f->type != FIELD_TEXT && f->type != FIELD_PATH && f->type != FIELD_HOST)
        return false;
    return !text[0] || strcspn(text, ":#{}[]\"'\\,&*!|>%@` ") != strlen(text);
}

static void value_print(FILE *out, const struct schema_field *f)
{
    const char *text = f->fallback ? f->fallback : f->example;

    if (f->type == FIELD_TEXTS || f->type == FIELD_PATHS) {
        fputs("[]", out);
        return;
    }
    bool quote = quotes_needed(f, text);

    fputs(quote ? "\"" : "", out);
    for (; *text; text++) {
        if (quote && (*text == '"' || *text == '\\'))
            fputc('\\', out);
        fputc(*text, out);
    }
    fputs(quote ? "\"" : "", out);
}

/* Opens the block of a path when the field before lay in another. Blocks are one level deep. */
static int block_print(FILE *out, const char *path, const char *before)
{
    const char *dot = strchr(path, '.');

    if (!dot)
        return 0;
    if (!before || strncmp(before, path, (size_t)(dot - path) + 1) != 0)
        fprintf(out, "%.*s:\n", (int)(dot - path), path);
    return 4;
}

static void field_print(FILE *out, const struct schema_field *f, const char *before)
{
    int indent = 0;

    fputc('\n', out);
    indent = block_print(out, f->path, before);
    const char *key = indent ? strchr(f->path, '.') + 1 : f->path;

    fprintf(out, "%*s# %s\n%*s# ", indent, "", f->help, indent, "");
    type_print(out, f);
    fputc('\n', out);
    if (f->type == FIELD_SETTINGS)
        return;
    fprintf(out, "%*s%s: ", indent, "", key);
    value_print(out, f);
    fputc('\n', out);
}

char *schema_example(const struct schema *schema)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        return NULL;
    fprintf(out, "# %s\n", schema->title);
    for (size_t i = 0; i < schema->count; i++)
        field_print(out, &schema->fields[i], i ? schema->fields[i - 1].path : NULL);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

static void row_print(FILE *out, const struct schema_field *f)
{
    bool listed = f->type == FIELD_TEXTS || f->type == FIELD_PATHS || f->type == FIELD_SETTINGS ||
                  f->type == FIELD_TREE;

    fprintf(out, "| `%s` | ", f->path);
    type_print(out, f);
    if (listed)
        fputs(" | none", out);
    else if (!f->fallback)
        fputs(" | must be given", out);
    else if (!f->fallback[0])
        fputs(" | empty", out);
    else
        fprintf(out, " | `%s`", f->fallback);
    fprintf(out, " | %s |\n", f->help);
}

char *schema_markdown(const struct schema *schema)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        return NULL;
    fputs("| key | type | default | what it does |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < schema->count; i++)
        row_print(out, &schema->fields[i]);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}
