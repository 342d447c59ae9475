/* A call's plan as a JSON document: a list (or {"steps": list}) of
 *     {"say": "x.wav", "meant": "...", "last_voiced_sample": N, "barge_in": true}
 *     {"press": "1", "meant": "..."}   {"wait_ms": 500}   {"hang_up": true}
 * Bounded; unknown keys are ignored. Paths are relative to the plan's folder. Set-up only: it
 * allocates. */
#ifndef CALL_PLAN_FILE_H
#define CALL_PLAN_FILE_H

#include "tools/call/plan.h"

#define PLAN_FILE_BYTES_MAX 262144
#define PLAN_WHY_BYTES      512
#define PLAN_WAIT_MAX_MS    60000

/* Loads a clip from a path: sound_load(), or what a test puts in. */
typedef int plan_load(const char *path, struct caller_clip *clip, char *why);

/* Reads steps from `text`; `folder` ends with '/' or is empty. 0 or -errno and one sentence. */
MUST_USE int plan_parse(struct slice text, const char *folder, plan_load *load,
                        struct plan_step *steps, uint32_t *count, char why[PLAN_WHY_BYTES]);

#endif
