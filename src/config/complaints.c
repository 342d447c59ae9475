#include "config/complaints.h"

#include <stdio.h>
#include <string.h>

void complaints_begin(struct complaints *c, char *why, size_t why_bytes)
{
    c->err = 0;
    c->why = why;
    c->why_bytes = why_bytes;
    c->len = 0;
    c->next[0] = why[0] = '\0';
}

void complaints_add(struct complaints *c, int err)
{
    size_t left = c->why_bytes - c->len;

    if (!err)
        return;
    if (!c->err)
        c->err = err;
    if (c->len && strlen(c->next) + 2 > left)
        return;
    snprintf(c->why + c->len, left, "%s%s", c->len ? "\n" : "", c->next);
    c->len += strlen(c->why + c->len);
    c->next[0] = '\0';
}
