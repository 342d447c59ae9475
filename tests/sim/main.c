/* sidetone-sim: runs seeds through the simulator and says what became of each. The seeds run in
 * child processes, so that one that dies takes no other with it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define JOBS_MAX      64
#define SEEDS_MAX     1000000
#define FULL_COVERAGE 200 /* from so many seeds on everything must have been reached */
#define TAIL_BYTES    6000

static const char help[] =
    "usage: sidetone-sim [options]\n"
    "Runs simulated calls, a world for each seed, and checks what must hold after each.\n"
    "  --first SEED    the first seed (default 1)\n"
    "  --seeds N       how many (default 20); from 200 on every fault and every transition must\n"
    "                  have occurred\n"
    "  --jobs N        processes side by side (default 1)\n"
    "  --script NAME   every caller follows this script of tests/scenario or tests/sim\n"
    "  --verbose       print each message as it is handled, and the product's log\n"
    "  --help          this text\n"
    "The last line is \"N passed, 0 failed\". Exit: 0 all passed, 1 some failed, 2 wrong use.\n";

/* One seed's outcome, in memory shared with the children. */
struct outcome {
    uint64_t signature;
    uint8_t state; /* enum */
    char why[WHY_MAX];
};

enum { SEED_WAITS, SEED_RUNS, SEED_PASSED, SEED_FAILED };

struct shared {
    struct coverage coverage[JOBS_MAX];
    struct outcome outcomes[];
};

static struct options options;
static struct shared *shared;
static struct sim sim;

/* ---- scripts ---- */

static int read_text(const char *path, struct slice *out)
{
    FILE *f = fopen(path, "re");
    char *text = malloc(SCRIPT_FILE_BYTES);

    if (!f || !text) {
        free(text);
        return f ? -ENOMEM : -errno;
    }
    *out = slice_of(text, fread(text, 1, SCRIPT_FILE_BYTES, f));
    fclose(f);
    return 0;
}

static int read_scene(const char *dir, const char *file)
{
    struct scene *s = &options.scenes[options.scene_count];
    char why[SCRIPT_WHY_BYTES] = "it cannot be read";
    size_t stem = strlen(file) - sizeof(".call") + 1;

    if (options.scene_count == SCRIPTS_MAX || stem >= sizeof(s->name))
        return -E2BIG;
    snprintf(s->path, sizeof(s->path), "%s/%s", dir, file);
    memcpy(s->name, file, stem);
    if (read_text(s->path, &s->text) || script_parse(&s->script, s->text, why)) {
        fprintf(stderr, "sidetone-sim: %s: %s\n", s->path, why);
        return -EINVAL;
    }
    options.scene_count++;
    return 0;
}

static int is_script(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 5 && strcmp(entry->d_name + len - 5, ".call") == 0;
}

static int read_scenes(const char *dir)
{
    struct dirent **names = NULL;
    int count = scandir(dir, &names, is_script, alphasort), err = count < 0 ? -errno : 0;

    for (int i = 0; i < count; i++) {
        if (!err)
            err = read_scene(dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return err;
}

/* ---- temporary folders ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* In memory where there is room for it: what matters here is no disk. */
static int make_dir(char *out, size_t bytes)
{
    snprintf(out, bytes, "/dev/shm/sidetone-sim-XXXXXX");
    if (mkdtemp(out))
        return 0;
    snprintf(out, bytes, "/tmp/sidetone-sim-XXXXXX");
    return mkdtemp(out) ? 0 : -errno;
}

/* ---- a child ---- */

static void run_seeds(uint32_t job)
{
    struct sim_caller *callers = callers_new();

    for (uint64_t i = job; i < options.seeds; i += options.jobs) {
        struct outcome *o = &shared->outcomes[i];
        if (o->state != SEED_WAITS)
            continue;
        o->state = SEED_RUNS;
        if (!options.verbose && ftruncate(STDERR_FILENO, 0) == 0)
            lseek(STDERR_FILENO, 0, SEEK_SET);
        if (sim_run(&sim, &options, callers, &shared->coverage[job], options.first + i,
                    &o->signature) == 0) {
            o->state = SEED_PASSED;
            continue;
        }
        memcpy(o->why, sim.why, sizeof(o->why));
        o->state = SEED_FAILED;
        if (options.verbose)
            sim_print_trace(&sim);
        fflush(stdout);
        _exit(1); /* the world is in no state to be taken down */
    }
    callers_free(&callers);
}

static pid_t start_child(uint32_t job, const char *log_path)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid)
        return pid;
    if (make_dir(options.dir, sizeof(options.dir)))
        _exit(2);
    if (!options.verbose) {
        int fd = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
        if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
            _exit(2);
        close(fd);
    }
    run_seeds(job);
    nftw(options.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    fflush(stdout);
    for (uint32_t i = 0; i < options.scene_count; i++)
        free((void *)(uintptr_t)options.scenes[i].text.at);
    exit(0);
}

/* ---- the parent ---- */

static void print_tail(const char *path)
{
    static char tail[TAIL_BYTES + 1];
    FILE *f = fopen(path, "re");

    if (!f)
        return;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fseek(f, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET);
    tail[fread(tail, 1, TAIL_BYTES, f)] = '\0';
    fclose(f);
    printf("---- the end of its log ----\n%s\n----\n", tail);
}

/* After a child has ended: a seed it was running has failed; true when there are more for it. */
static bool child_ended(uint32_t job, int status, const char *log_path)
{
    bool more = false;

    for (uint64_t i = job; i < options.seeds; i += options.jobs) {
        struct outcome *o = &shared->outcomes[i];
        if (o->state == SEED_RUNS) {
            o->state = SEED_FAILED;
            snprintf(o->why, sizeof(o->why), "the simulator died (%s %d)",
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
        if (o->state == SEED_FAILED && o->why[0] && o->signature != UINT64_MAX) {
            uint64_t seed = options.first + i;
            printf("seed %llu FAILED: %s\n", (unsigned long long)seed, o->why);
            if (!options.verbose)
                print_tail(log_path);
            printf("replay: sidetone-sim --first %llu --seeds 1 --verbose%s%s\n",
                   (unsigned long long)seed, options.only ? " --script " : "",
                   options.only ? options.only : "");
            o->signature = UINT64_MAX;
        }
        more |= o->state == SEED_WAITS;
    }
    return more;
}

static void run_jobs(void)
{
    pid_t pids[JOBS_MAX];
    char logs[JOBS_MAX][64];
    uint32_t running = options.jobs;

    for (uint32_t job = 0; job < options.jobs; job++) {
        snprintf(logs[job], sizeof(logs[job]), "/tmp/sidetone-sim-%d-%u.log", (int)getpid(), job);
        pids[job] = start_child(job, logs[job]);
    }
    while (running) {
        int status;
        pid_t pid = wait(&status);
        for (uint32_t job = 0; job < options.jobs && pid > 0; job++) {
            if (pids[job] != pid)
                continue;
            /* 2: it could not even begin, and would not the next time. */
            if (child_ended(job, status, logs[job]) &&
                !(WIFEXITED(status) && WEXITSTATUS(status) == 2))
                pids[job] = start_child(job, logs[job]);
            else
                running--;
        }
        if (pid < 0)
            break;
    }
    for (uint32_t job = 0; job < options.jobs; job++)
        unlink(logs[job]);
}

static void add_coverage(struct coverage *sum, const struct coverage *c)
{
    for (uint32_t role = ROLE_STT; role <= ROLE_TTS; role++)
        for (uint32_t i = 0; i < FOLLOWED_COUNT; i++)
            sum->failovers[role][i] += c->failovers[role][i];
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        sum->faults[i] += c->faults[i];
    for (int from = 0; from < PHASES; from++)
        for (int to = 0; to < PHASES; to++)
            sum->phases[from][to] |= c->phases[from][to];
    sum->turns |= c->turns;
    sum->calls += c->calls;
    sum->completed += c->completed;
    sum->failed += c->failed;
    sum->clean += c->clean;
    sum->messages += c->messages;
    sum->virtual_ms += c->virtual_ms;
}

static int report(void)
{
    struct coverage sum = {0};
    uint64_t passed = 0, signature = 0;

    for (uint64_t i = 0; i < options.seeds; i++) {
        const struct outcome *o = &shared->outcomes[i];
        signature = (signature ^ o->signature) * UINT64_C(0x100000001B3);
        if (o->state != SEED_PASSED)
            continue;
        passed++;
        printf("seed %llu signature %016llx\n", (unsigned long long)(options.first + i),
               (unsigned long long)o->signature);
    }
    for (uint32_t job = 0; job < options.jobs; job++)
        add_coverage(&sum, &shared->coverage[job]);
    bool whole = coverage_print(&sum, options.seeds >= FULL_COVERAGE && !options.only);
    if (!whole)
        printf("FAILED: not everything was reached\n");
    printf("signature %016llx\n", (unsigned long long)signature);
    printf("%llu passed, %llu failed\n", (unsigned long long)passed,
           (unsigned long long)(options.seeds - passed + !whole));
    return passed == options.seeds && whole ? 0 : 1;
}

/* ---- the command line ---- */

static int number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    if (slice_u64(slice_str(text), most, out) == 0 && *out >= least)
        return 0;
    fprintf(stderr, "sidetone-sim: \"%s\" is not a number in its range\n", text);
    return -1;
}

static int parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"first", required_argument, NULL, 'f'},
        {"seeds", required_argument, NULL, 'n'},
        {"jobs", required_argument, NULL, 'j'},
        {"script", required_argument, NULL, 's'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    uint64_t jobs = 1;
    int option, err = 0;

    options.first = 1;
    options.seeds = 20;
    while (!err && (option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        if (option == 'f') {
            err = number(optarg, 0, UINT32_MAX, &options.first);
        } else if (option == 'n') {
            err = number(optarg, 1, SEEDS_MAX, &options.seeds);
        } else if (option == 'j') {
            err = number(optarg, 1, JOBS_MAX, &jobs);
        } else if (option == 's') {
            options.only = optarg;
        } else if (option == 'v') {
            options.verbose = options.log = true;
        } else {
            fputs(help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 1 : -1;
        }
    }
    options.jobs = (uint32_t)(jobs < options.seeds ? jobs : options.seeds);
    if (!err && optind < argc) {
        fputs(help, stderr);
        err = -1;
    }
    return err;
}

static bool script_known(void)
{
    for (uint32_t i = 0; options.only && i < options.scene_count; i++)
        if (strcmp(options.scenes[i].name, options.only) == 0)
            return true;
    return !options.only;
}

int main(int argc, char **argv)
{
    int parsed = parse(argc, argv);

    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (read_scenes(SOURCE_DIR "/tests/scenario") || read_scenes(SOURCE_DIR "/tests/sim") ||
        options.scene_count == 0) {
        fprintf(stderr, "sidetone-sim: the scripts below %s/tests cannot be read\n", SOURCE_DIR);
        return 2;
    }
    if (!script_known()) {
        fprintf(stderr, "sidetone-sim: there is no script %s\n", options.only);
        return 2;
    }
    shared = mmap(NULL, sizeof(*shared) + options.seeds * sizeof(struct outcome),
                  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    run_jobs();
    return report();
}
