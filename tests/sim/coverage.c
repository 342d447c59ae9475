/* What all seeds together have reached. */
#include <stdio.h>

#include "tests/sim/sim.h"

static const char *const phase_names[PHASES] = {"none", "connecting", "talking", "ending",
                                                "storing"};

/* The call's own table: what may follow what. */
static bool phase_may(enum call_phase from, enum call_phase to)
{
    static const uint8_t next[PHASES] = {
        [CALL_NONE] = 1u << CALL_CONNECTING,
        [CALL_CONNECTING] = 1u << CALL_TALKING | 1u << CALL_ENDING,
        [CALL_TALKING] = 1u << CALL_ENDING,
        [CALL_ENDING] = 1u << CALL_STORING,
    };

    return (next[from] & 1u << to) != 0;
}

void coverage_turns(struct coverage *coverage, uint64_t visited)
{
    coverage->turns |= visited;
}

void coverage_phase(struct sim *sim, enum call_phase from, enum call_phase to)
{
    if (!phase_may(from, to))
        sim_wrong(sim, "a call went from %s to %s", phase_names[from], phase_names[to]);
    sim->coverage->phases[from][to] = 1;
}

static const char *const role_names[] = {
    [ROLE_STT] = "stt", [ROLE_LLM] = "llm", [ROLE_TTS] = "tts"};
static const char *const followed_names[FOLLOWED_COUNT] = {"next", "next, answer over", "excuse",
                                                           "end"};

/* Only an answer can be over, and without a voice there is no excuse. */
static bool followed_may(uint32_t role, uint32_t what)
{
    return (what != FOLLOWED_OVER || role == ROLE_LLM) &&
           (what != FOLLOWED_EXCUSE || role != ROLE_TTS);
}

void coverage_failover(struct coverage *coverage, uint32_t role, enum followed what)
{
    coverage->failovers[role][what]++;
}

static uint32_t print_failovers(const struct coverage *coverage, uint32_t *all)
{
    uint32_t reached = 0;

    printf("providers' failures were followed by:\n");
    for (uint32_t role = ROLE_STT; role <= ROLE_TTS; role++) {
        for (uint32_t what = 0; what < FOLLOWED_COUNT; what++) {
            if (!followed_may(role, what))
                continue;
            (*all)++;
            printf("  %s: %-18s %llu\n", role_names[role], followed_names[what],
                   (unsigned long long)coverage->failovers[role][what]);
            reached += coverage->failovers[role][what] > 0;
        }
    }
    return reached;
}

static uint32_t print_turns(const struct coverage *coverage, uint32_t *all)
{
    uint32_t reached = 0;

    for (int from = 0; from < TURN_STATE_COUNT; from++) {
        for (int to = 0; to < TURN_STATE_COUNT; to++) {
            if (!turn_may((enum turn_state)from, (enum turn_state)to))
                continue;
            (*all)++;
            if (coverage->turns & UINT64_C(1) << (from * 8 + to))
                reached++;
            else
                printf("not reached: turn %s -> %s\n", turn_state_name((enum turn_state)from),
                       turn_state_name((enum turn_state)to));
        }
    }
    return reached;
}

static uint32_t print_phases(const struct coverage *coverage, uint32_t *all)
{
    uint32_t reached = 0;

    for (int from = 0; from < PHASES; from++) {
        for (int to = 0; to < PHASES; to++) {
            if (!phase_may((enum call_phase)from, (enum call_phase)to))
                continue;
            (*all)++;
            if (coverage->phases[from][to])
                reached++;
            else
                printf("not reached: call %s -> %s\n", phase_names[from], phase_names[to]);
        }
    }
    return reached;
}

static uint32_t print_faults(const struct coverage *coverage)
{
    uint32_t happened = 0;

    printf("faults injected:\n");
    for (uint32_t i = 0; i < FAULT_KINDS; i++) {
        printf("  %-22s %llu\n", fault_name(i), (unsigned long long)coverage->faults[i]);
        happened += coverage->faults[i] > 0;
    }
    return happened;
}

bool coverage_print(const struct coverage *coverage, bool must)
{
    uint32_t turns = 0, phases = 0, failovers = 0;
    uint32_t faults = print_faults(coverage);
    uint32_t failovers_reached = print_failovers(coverage, &failovers);
    uint32_t turns_reached = print_turns(coverage, &turns);
    uint32_t phases_reached = print_phases(coverage, &phases);
    bool whole = faults == FAULT_KINDS && turns_reached == turns && phases_reached == phases &&
                 failovers_reached == failovers;

    printf("faults: %u of %u kinds; turn: %u of %u transitions; call: %u of %u transitions; "
           "failovers: %u of %u\n",
           faults, FAULT_KINDS, turns_reached, turns, phases_reached, phases, failovers_reached,
           failovers);
    printf("calls: %llu begun, %llu completed, %llu failed, %llu undisturbed; %llu messages in "
           "%llu virtual seconds\n",
           (unsigned long long)coverage->calls, (unsigned long long)coverage->completed,
           (unsigned long long)coverage->failed, (unsigned long long)coverage->clean,
           (unsigned long long)coverage->messages,
           (unsigned long long)(coverage->virtual_ms / 1000));
    return whole || !must;
}
