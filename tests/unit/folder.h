/* A folder of their own for tests that write files. Included by one test each, after cmocka.h. */
#ifndef UNIT_FOLDER_H
#define UNIT_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

static char folder[64];

static inline int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sidetone-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int folder_drop(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

#endif
