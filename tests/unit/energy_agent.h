/* An agent that hears by the energy detector, and its bundle: the first of a test's world. Included
 * by test programs with legs. */
#ifndef TESTS_ENERGY_AGENT_H
#define TESTS_ENERGY_AGENT_H

#include "actors/world.h"

static struct agent agent = {.vad = {.provider = AGENT_VAD_ENERGY,
                                     .confidence = 0.5,
                                     .start_ms = 100,
                                     .stop_ms = 200,
                                     .min_volume = 0.1}};
static struct bundle bundle = {.agent = &agent};

#endif
