/* The files of the web pages (src/console, built into data/console): read whole at boot, so that
 * nothing a request names ever becomes a path. Made and freed by the control thread's host, read by
 * the api actor. A folder that is not there makes an empty set: the server works without pages. */
#ifndef PLATFORM_CONSOLE_H
#define PLATFORM_CONSOLE_H

#include "base/bytes.h"

#define CONSOLE_FILES_MAX 32     /* more are not served, which is logged */
#define CONSOLE_FILE_MAX  262144 /* bytes of one; a larger one is not served */
#define CONSOLE_NAME_MAX  64

struct console_file {
    char name[CONSOLE_NAME_MAX];
    const char *content_type;
    struct slice bytes;
};

struct console {
    size_t count;
    struct console_file files[CONSOLE_FILES_MAX];
};

struct console *console_new(const char *share_dir);
void console_free(struct console **console);
/* NULL: there is none of this name. */
const struct console_file *console_find(const struct console *console, struct slice name);

#endif
