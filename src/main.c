/* The command line. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/agent.h"
#include "provider/provider.h"
#include "server.h"

#define AGENT_FILES_MAX 64
#define PATH_BYTES      512
#define WHY_BYTES       4096 /* a line for each complaint */

static const char help[] =
    "sidetone: answers phone calls with AI agents\n"
    "\n"
    "  sidetone [--config FILE] [--agent FILE ...] [--check-config] [--list-providers]\n"
    "           [--example-config] [--example-agent] [--version] [--help]\n"
    "\n"
    "  --config FILE      read this configuration (default: the embedded one)\n"
    "  --agent FILE       answer with this agent too; may be given several times\n"
    "                     (default: the clinic's front desk)\n"
    "  --check-config     say whether configuration and agents are usable, or all that is\n"
    "                     missing or wrong, and stop\n"
    "  --list-providers   what speech and language providers there are, and stop\n"
    "  --example-config   print a configuration with every key explained, and stop\n"
    "  --example-agent    the same for an agent file\n"
    "  --version, --help\n"
    "\n"
    "Started alone it serves the clinic agent on ws://127.0.0.1:7860/media/clinic, its API on\n"
    "http://127.0.0.1:8000, and keeps its records under ./sidetone-data. SIGTERM lets running "
    "calls\n"
    "end; SIGHUP reads agents and configuration again. Exit codes: 0 ended in order, 1 cannot "
    "start, 2 bad "
    "usage.\n";

struct options {
    const char *config;
    const char *agents[AGENT_FILES_MAX];
    size_t agent_count;
    bool check;
};

static void list_providers(void)
{
    const struct provider_ops *ops;

    printf("%-5s %-14s %-6s %-19s %s\n", "kind", "name", "rate", "key", "what it is");
    for (size_t i = 0; (ops = provider_at(i)); i++) {
        char rate[16] = "-";
        if (ops->rate_hz)
            snprintf(rate, sizeof(rate), "%u", ops->rate_hz);
        printf("%-5s %-14s %-6s %-19s %s\n", provider_kind_name(ops->kind), ops->name, rate,
               ops->key_env ? ops->key_env : "-", ops->summary);
    }
}

/* Prints a malloc'd text. */
static void print_example(char *text)
{
    if (text)
        fputs(text, stdout);
    free(text);
}

/* Handles an option that prints and ends. */
static void print_and_exit(int option)
{
    if (option == 'h')
        fputs(help, stdout);
    else if (option == 'v')
        printf("sidetone %s\n", SIDETONE_VERSION);
    else if (option == 'l')
        list_providers();
    else if (option == 'e')
        print_example(config_example());
    else if (option == 'x')
        print_example(agent_example());
    else
        return;
    exit(0);
}

static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"config", required_argument, NULL, 'c'},
                                          {"agent", required_argument, NULL, 'a'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"list-providers", no_argument, NULL, 'l'},
                                          {"example-config", no_argument, NULL, 'e'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"example-agent", no_argument, NULL, 'x'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        print_and_exit(option);
        if (option == 'c') {
            o->config = optarg;
        } else if (option == 'k') {
            o->check = true;
        } else if (option == 'a' && o->agent_count < AGENT_FILES_MAX) {
            o->agents[o->agent_count++] = optarg;
        } else {
            fputs("try: sidetone --help\n", stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sidetone: \"%s\" is no option; try: sidetone --help\n", argv[optind]);
        return 2;
    }
    return 0;
}

/* Where agents, grammars and weights lie: beside the build tree, or where it was installed. */
static int find_share(char *out, size_t out_bytes)
{
    static const char *const places[] = {"../../data", "../share/sidetone", "data"};
    char self[PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0)
        return -ENOENT;
    self[len] = '\0';
    const char *folder = dirname(self);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char agents[PATH_BYTES * 2];
        int n = snprintf(out, out_bytes, "%s/%s", folder, places[i]);
        snprintf(agents, sizeof(agents), "%s/agents", out);
        if (n > 0 && (size_t)n < out_bytes && access(agents, R_OK) == 0)
            return 0;
    }
    return -ENOENT;
}

static const char *from_environment(const char *name)
{
    return getenv(name);
}

/* Each line is a complaint of its own. */
static void say_why(const char *why)
{
    struct slice rest = slice_str(why);

    do {
        struct slice line = slice_cut(rest, '\n', &rest);
        fprintf(stderr, "sidetone: %.*s\n", SLICE_ARG(line));
    } while (rest.len);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct config *config = NULL;
    char share[PATH_BYTES], clinic[PATH_BYTES + 32], why[WHY_BYTES] = "";
    int err = read_options(argc, argv, &o);

    if (err)
        return err;
    if (config_load(o.config, from_environment, &config, why, sizeof(why))) {
        say_why(why);
        return 1;
    }
    if (find_share(share, sizeof(share))) {
        fprintf(stderr, "sidetone: its data (agents, grammars, weights) is not beside the program: "
                        "expected ../../data or ../share/sidetone from it\n");
        return 1;
    }
    if (o.agent_count == 0 && config->agents.count == 0) {
        snprintf(clinic, sizeof(clinic), "%s/agents/clinic.yaml", share);
        o.agents[o.agent_count++] = clinic;
    }
    struct server_setup setup = {.config = config,
                                 .agents = o.agents,
                                 .agent_count = o.agent_count,
                                 .share_dir = share,
                                 .config_path = o.config,
                                 .env = from_environment};
    err = o.check ? server_check(&setup, why, sizeof(why)) : server_run(&setup, why, sizeof(why));
    if (err)
        say_why(why);
    else if (o.check)
        printf("configuration and agents are usable\n");
    config_free(&config);
    return err ? 1 : 0;
}
