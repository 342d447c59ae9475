/* sidetone-bench-ratios: every contest in turns, its median ratio, and whether it keeps its bound.
 */
#include "bench/ratios/ratios.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"

#define PAIRS_MAX    200
#define BATCH_NS     300000 /* of one side of a pair: short, so that a disturbance hits few */
#define ROUNDS_MAX   8      /* a ratio above its bound is measured again: noise does not repeat */
#define INPUTS       1000000
#define CONTESTS_MAX 64
#define UNBOUNDED    99 /* in the file of bounds: told, not judged */

static const char help[] =
    "Usage: sidetone-bench-ratios [options]\n"
    "\n"
    "Measures hot code against something that does the same, in interleaved pairs over the state\n"
    "of 2,000 calls, and first checks that twins give the same.\n"
    "\n"
    "  --only TEXT      contests whose name has TEXT in it\n"
    "  --pairs N        pairs of each contest (30)\n"
    "  --inputs N       random inputs of the comparison with a twin (1000000)\n"
    "  --bounds FILE    lines of NAME RATIO: ends with 1 if a ratio is above its bound, or has "
    "none\n"
    "  --slow TEXT      self-test: contests whose name has TEXT in it (or all) run our side twice\n"
    "  --json           one JSON object as the last line\n";

struct outcome {
    const struct contest *contest;
    double ratio, low, high;   /* median, tenth and ninetieth of 100 */
    double ours_ns, others_ns; /* medians, of one frame */
    double bound;              /* 0: none */
    bool same, over;
};

struct run {
    const char *only, *slow, *bounds;
    uint32_t pairs, inputs;
    bool json;
    struct outcome found[CONTESTS_MAX];
    uint32_t count;
};

void ratios_fill(int16_t *pcm, uint32_t n, struct rand *r)
{
    uint32_t shift = rand_below(r, 12);

    for (uint32_t i = 0; i < n; i++)
        pcm[i] = (int16_t)((int16_t)rand_u64(r) >> shift);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* One side, so many times, over calls in turn; ns of one run. */
static double batch(void (*side)(uint32_t), uint32_t loops, bool twice, uint32_t *call)
{
    int64_t from_ns = now_ns();

    for (uint32_t i = 0; i < loops; i++) {
        side(*call);
        if (twice)
            side(*call);
        *call = *call + 1 < RATIOS_CALLS ? *call + 1 : 0;
    }
    return (double)(now_ns() - from_ns) / loops;
}

static uint32_t loops_of(void (*side)(uint32_t))
{
    uint32_t loops = 1, call = 0;

    batch(side, 16, false, &call);
    while (loops < 1u << 20 && batch(side, loops, false, &call) * loops < BATCH_NS)
        loops *= 2;
    return loops;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(struct outcome *o, uint32_t pairs, bool twice)
{
    const struct contest *c = o->contest;
    double ratios[PAIRS_MAX], ours[PAIRS_MAX], others[PAIRS_MAX];
    uint32_t mine = loops_of(c->ours), theirs = loops_of(c->others), a = 0, b = 0;

    for (uint32_t i = 0; i < pairs; i++) {
        ours[i] = batch(c->ours, mine, twice, &a) / c->frames;
        others[i] = batch(c->others, theirs, false, &b) / c->frames;
        ratios[i] = ours[i] / others[i];
    }
    qsort(ratios, pairs, sizeof(*ratios), by_value);
    qsort(ours, pairs, sizeof(*ours), by_value);
    qsort(others, pairs, sizeof(*others), by_value);
    if (o->ratio > 0 && ratios[pairs / 2] >= o->ratio)
        return; /* the round before was the better one */
    o->ratio = ratios[pairs / 2];
    o->low = ratios[pairs / 10];
    o->high = ratios[pairs * 9 / 10];
    o->ours_ns = ours[pairs / 2];
    o->others_ns = others[pairs / 2];
}

static bool named(const char *name, const char *text)
{
    return text && (strcmp(text, "all") == 0 || strstr(name, text) != NULL);
}

/* The bound of a contest; 0: the file has none. */
static double bound_of(const char *path, const char *name)
{
    char line[128], found[64];
    double bound = 0, value;
    FILE *f = path ? fopen(path, "re") : NULL;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%63s %lf", found, &value) == 2 && strcmp(found, name) == 0)
            bound = value;
    if (f)
        fclose(f);
    return bound;
}

static void hold(struct run *run, const struct contest *c)
{
    struct outcome *o = &run->found[run->count];

    *o = (struct outcome){.contest = c, .bound = bound_of(run->bounds, c->name)};
    if (!c->prepare()) {
        printf("%-20s is left out: what it needs is not there\n", c->name);
        return;
    }
    run->count++;
    o->same = !c->same || c->same(run->inputs);
    /* a planted cost is to be seen at once; the least of many rounds would hide it in noise */
    int rounds = run->slow ? 1 : ROUNDS_MAX;
    for (int round = 0; round < rounds && (round == 0 || o->over); round++) {
        measure(o, run->pairs, named(c->name, run->slow));
        o->over = run->bounds && o->bound < UNBOUNDED && o->ratio > o->bound;
    }
    if (c->finish)
        c->finish();
    printf("%-20s %8.1f ns  %9.1f ns by %-24s ratio %6.3f (%.3f to %.3f)%s%s\n", c->name,
           o->ours_ns, o->others_ns, c->other, o->ratio, o->low, o->high,
           o->over ? "  ABOVE ITS BOUND" : "", o->same ? "" : "  NOT THE SAME");
    fflush(stdout);
}

static void print_json(const struct run *run)
{
    printf("{");
    for (uint32_t i = 0; i < run->count; i++) {
        const struct outcome *o = &run->found[i];
        printf("%s\"%s\": {\"ratio\": %.4f, \"p10\": %.4f, \"p90\": %.4f, \"ns\": %.1f, "
               "\"other_ns\": %.1f, \"cpu_pct_1000_calls\": %.3f, \"same\": %s, \"over\": %s, "
               "\"judged\": %s}",
               i ? ", " : "", o->contest->name, o->ratio, o->low, o->high, o->ours_ns, o->others_ns,
               o->ours_ns * 50 * 1000 / 1e7, o->same ? "true" : "false", o->over ? "true" : "false",
               o->bound < UNBOUNDED ? "true" : "false");
    }
    printf("}\n");
}

static bool number(const char *text, uint64_t most, uint32_t *out)
{
    uint64_t n;

    if (slice_u64(slice_str(text), most, &n) || n == 0)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool read_options(struct run *run, int argc, char **argv)
{
    static const struct option keys[] = {
        {"only", required_argument, NULL, 'o'},   {"pairs", required_argument, NULL, 'p'},
        {"inputs", required_argument, NULL, 'i'}, {"bounds", required_argument, NULL, 'b'},
        {"slow", required_argument, NULL, 's'},   {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int key;
    bool good = true;

    while ((key = getopt_long(argc, argv, "", keys, NULL)) != -1 && good) {
        if (key == 'o')
            run->only = optarg;
        else if (key == 'p')
            good = number(optarg, PAIRS_MAX, &run->pairs);
        else if (key == 'i')
            good = number(optarg, UINT32_MAX, &run->inputs);
        else if (key == 'b')
            run->bounds = optarg;
        else if (key == 's')
            run->slow = optarg;
        else if (key == 'j')
            run->json = true;
        else
            good = false;
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    static struct run run = {.pairs = 30, .inputs = INPUTS};
    const struct contests *const all[] = {&ratios_resample, &ratios_g711, &ratios_vad, &ratios_wire,
                                          &ratios_runtime};
    uint32_t bad = 0;

    if (!read_options(&run, argc, argv)) {
        fputs(help, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    for (size_t g = 0; g < ARRAY_LEN(all); g++)
        for (uint32_t i = 0; i < all[g]->count && run.count < CONTESTS_MAX; i++)
            if (!run.only || strstr(all[g]->first[i].name, run.only))
                hold(&run, &all[g]->first[i]);
    for (uint32_t i = 0; i < run.count; i++)
        bad += run.found[i].over || !run.found[i].same;
    if (run.json)
        print_json(&run);
    return bad || !run.count;
}
