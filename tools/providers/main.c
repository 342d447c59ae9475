/* sidetone-providers: speech recognisers, language models and speech synthesisers of a dozen
 * protocols from the server's side, with scripted text, drawn delays and faults on cue. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/address.h"
#include "runtime/clock.h"
#include "tools/providers/service.h"

#define BACKLOG 1024

static const char help[] =
    "usage: sidetone-providers --config FILE [--bind ADDRESS:PORT] [--log FILE]\n"
    "       sidetone-providers --check-config FILE | --example-config | --help\n"
    "Speaks the protocols of AI providers from their side: scripted text, drawn delays, faults on\n"
    "cue, and a log of what it was asked. For tests; nothing here listens, thinks or speaks.\n"
    "\n"
    "  --config FILE        what to hear, answer and break (YAML)\n"
    "  --bind ADDRESS:PORT  instead of the file's; port 0: any free one\n"
    "  --log FILE           instead of the file's; stdout: standard output\n"
    "  --check-config FILE  only says whether the file is in order\n"
    "  --example-config     prints a file with every key and its default\n"
    "\n"
    "The first line it prints is {\"ready\":\"127.0.0.1:PORT\"}. SIGTERM ends it.\n"
    "exit: 0 ended by a signal, 1 wrong options or files, 2 the port cannot be taken\n"
    "\n"
    "services:\n";

struct options {
    const char *config, *bind, *log;
    bool check, example, help;
};

enum { OPT_CONFIG = 256, OPT_BIND, OPT_LOG, OPT_CHECK, OPT_EXAMPLE, OPT_HELP };

static const struct option names[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"bind", required_argument, NULL, OPT_BIND},
    {"log", required_argument, NULL, OPT_LOG},
    {"check-config", required_argument, NULL, OPT_CHECK},
    {"example-config", no_argument, NULL, OPT_EXAMPLE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int options_read(struct options *o, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        if (option == OPT_CONFIG || option == OPT_CHECK)
            o->config = optarg;
        else if (option == OPT_BIND)
            o->bind = optarg;
        else if (option == OPT_LOG)
            o->log = optarg;
        else if (option != OPT_EXAMPLE && option != OPT_HELP && option != 'h')
            return -EINVAL;
        o->check |= option == OPT_CHECK;
        o->example |= option == OPT_EXAMPLE;
        o->help |= option == OPT_HELP || option == 'h';
    }
    if (optind < argc) {
        fprintf(stderr, "sidetone-providers: %s: not an option\n", argv[optind]);
        return -EINVAL;
    }
    if (o->config || o->example || o->help)
        return 0;
    fputs("sidetone-providers: say what to do with --config FILE\n", stderr);
    return -EINVAL;
}

static int say_help(void)
{
    fputs(help, stdout);
    for (size_t i = 0; services[i]; i++)
        printf("  %-22s %-4s %s%s\n", services[i]->name, services[i]->method, services[i]->path,
               services[i]->socket ? "  (WebSocket)" : "");
    return 0;
}

static int say_example(void)
{
    char *text = settings_example();

    if (!text)
        abort();
    fputs(text, stdout);
    free(text);
    return 0;
}

/* ---- the server ---- */

static void on_client(uv_stream_t *listener, int status)
{
    if (status == 0)
        peer_accept(listener->data);
}

static int address_of(const struct server *s, const char *bind, struct address *out)
{
    const struct bind_address *b = &s->settings->bind;
    char text[INET6_ADDRSTRLEN + 16];

    if (!bind) {
        snprintf(text, sizeof(text), b->ipv6 ? "[%s]:%u" : "%s:%u", b->host, b->port);
        bind = text;
    }
    return address_parse(slice_str(bind), true, out);
}

static int server_listen(struct server *s, const char *bind)
{
    struct sockaddr_storage at;
    struct address local;
    char text[ADDRESS_TEXT_BYTES];
    int len = sizeof(at);

    if (address_of(s, bind, &local) < 0) {
        fprintf(stderr, "sidetone-providers: --bind %s: not an address and port\n", bind);
        return -EINVAL;
    }
    address_to_sockaddr(&local, &at);
    uv_tcp_init(s->loop, &s->listener);
    s->listener.data = s;
    int err = uv_tcp_bind(&s->listener, (struct sockaddr *)&at, 0);
    if (!err)
        err = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_client);
    if (err) {
        fprintf(stderr, "sidetone-providers: cannot listen on %s: %s\n", address_text(&local, text),
                uv_strerror(err));
        return err;
    }
    uv_tcp_getsockname(&s->listener, (struct sockaddr *)&at, &len);
    address_from_sockaddr(&at, &local);
    printf("{\"ready\":\"%s\"}\n", address_text(&local, text));
    fflush(stdout);
    return 0;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct server *s = signal->data;
    (void)number;

    if (s->stopping)
        return;
    s->stopping = true;
    uv_close((uv_handle_t *)&s->listener, NULL);
    peer_close_all(s);
    uv_stop(s->loop);
}

/* Hundreds of connections, each one descriptor. */
static void descriptors_raise(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)!setrlimit(RLIMIT_NOFILE, &files);
}

static void close_all(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int serve(struct server *s, const struct options *o)
{
    uv_signal_t term, interrupt;
    uv_loop_t loop;

    uv_loop_init(&loop);
    s->loop = &loop;
    uv_signal_init(&loop, &term);
    uv_signal_init(&loop, &interrupt);
    term.data = interrupt.data = s;
    uv_signal_start(&term, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    int err = server_listen(s, o->bind);
    if (!err)
        uv_run(&loop, UV_RUN_DEFAULT);
    uv_walk(&loop, close_all, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return err;
}

int main(int argc, char **argv)
{
    static struct server server;
    struct options o = {0};
    struct settings settings;
    char why[SETTINGS_WHY_BYTES];

    if (options_read(&o, argc, argv) < 0)
        return 1;
    if (o.help || o.example)
        return o.help ? say_help() : say_example();
    if (settings_load(o.config, service_names(), &settings, why) < 0) {
        fprintf(stderr, "sidetone-providers: %s\n", why);
        return 1;
    }
    if (o.check) {
        printf("%s is in order\n", o.config);
        settings_free(&settings);
        return 0;
    }
    const char *log = o.log ? o.log : settings.log;
    if (log && strcmp(log, "stdout") == 0)
        log = NULL;
    int err = diary_open(&server.diary, log);
    if (err) {
        fprintf(stderr, "sidetone-providers: %s: %s\n", log, strerror(-err));
        settings_free(&settings);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    descriptors_raise();
    server.settings = &settings;
    server.chance.state = settings.seed ? (uint64_t)settings.seed : clock_seed();
    err = serve(&server, &o);
    diary_close(&server.diary);
    settings_free(&settings);
    return err ? 2 : 0;
}
