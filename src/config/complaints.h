/* What is wrong with files, one complaint a line, so that all of it can be mended at once. Lives
 * where a boot or a check does, on the stack; borrows the caller's buffer. */
#ifndef CONFIG_COMPLAINTS_H
#define CONFIG_COMPLAINTS_H

#include <stddef.h>

#include "config/yaml_doc.h"

struct complaints {
    int err; /* of the first one; 0: there is none */
    char *why;
    size_t why_bytes;
    size_t len;
    char next[CONFIG_WHY_BYTES]; /* where whoever may complain writes */
};

void complaints_begin(struct complaints *c, char *why, size_t why_bytes);
/* Did it complain? Then what stands in `next` goes into the buffer, on a line of its own; what does
 * not fit there whole is left out, but for the first, which is cut. */
void complaints_add(struct complaints *c, int err);

#endif
