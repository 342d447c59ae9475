#include "tests/scenario/server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/json.h"

#define PATH_BYTES 128

static int fail_errno(char why[SOCKET_WHY_BYTES], const char *what)
{
    int err = errno;

    snprintf(why, SOCKET_WHY_BYTES, "%s: %s", what, strerror(err));
    return -err;
}

static void sleep_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * NS_PER_MS};

    nanosleep(&t, NULL);
}

/* A port nobody listens on now; the server may lose it to somebody else, and then says so. */
static uint16_t free_port(void)
{
    struct address a = {.ip = {127, 0, 0, 1}, .family = 4};
    struct sockaddr_storage raw;
    socklen_t len = address_to_sockaddr(&a, &raw);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&raw, len) == 0) {
        len = sizeof(raw);
        if (getsockname(fd, (struct sockaddr *)&raw, &len) == 0)
            address_from_sockaddr(&raw, &a);
    }
    if (fd >= 0)
        close(fd);
    return a.port;
}

static int write_file(const struct server *s, const char *name, struct slice text,
                      char why[SOCKET_WHY_BYTES])
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", s->folder, name);
    FILE *f = fopen(path, "we");
    if (!f)
        return fail_errno(why, path);
    bool good = fwrite(text.at, 1, text.len, f) == text.len;
    if (fclose(f) != 0 || !good)
        return fail_errno(why, path);
    return 0;
}

/* The lines that concern the providers; the others become empty, so that numbers stay true. */
static int write_script(const struct server *s, struct slice text, char why[SOCKET_WHY_BYTES])
{
    static uint8_t store[SCRIPT_FILE_BYTES + 1];
    struct builder b = builder_of(store, sizeof(store));

    while (text.len) {
        struct slice line = slice_trim(slice_cut(text, '\n', &text));
        if (slice_starts(line, SLICE("stt ")) || slice_starts(line, SLICE("llm ")) ||
            slice_starts(line, SLICE("tts ")))
            builder_slice_add(&b, line);
        builder_u8(&b, '\n');
    }
    return write_file(s, "providers.script", builder_slice(&b), why);
}

static int write_agent(const struct server *s, const struct script *script,
                       char why[SOCKET_WHY_BYTES])
{
    uint8_t store[8192];
    struct builder b = builder_of(store, sizeof(store));
    struct jsonw w;

    builder_printf(&b, "name: scenario\nid: %s\ngreeting: ", script->agent);
    jsonw_init(&w, &b); /* a JSON string is a YAML string */
    jsonw_str(&w, script->has_greeting ? script->greeting : SLICE("Hello."));
    builder_str(&b, "\nvad: {provider: energy}\n");
    for (int i = 0; i < 3; i++)
        builder_printf(&b, "%s: {provider: scripted, script: providers.script}\n",
                       (const char *[]){"stt", "llm", "tts"}[i]);
    if (b.bad) {
        snprintf(why, SOCKET_WHY_BYTES, "the greeting is too long");
        return -EMSGSIZE;
    }
    return write_file(s, "agent.yaml", builder_slice(&b), why);
}

static int write_config(struct server *s, const char *io, char why[SOCKET_WHY_BYTES])
{
    uint8_t store[2048];
    char text[64];
    struct builder b = builder_of(store, sizeof(store));
    unsigned api = free_port(), media = free_port(), rtp = 20000 + (unsigned)getpid() % 20000;
    const char *what;

    builder_printf(&b, "data_dir: %s/data\nagents: [%s/agent.yaml]\nshards: 1\nio: %s\n", s->folder,
                   s->folder, io);
    builder_printf(&b, "api: {bind: \"127.0.0.1:%u\"}\nmedia: {bind: \"127.0.0.1:%u\"}\n", api,
                   media);
    builder_printf(&b, "rtp: {ports: %u-%u}\n", rtp, rtp + 99);
    snprintf(text, sizeof(text), "http://127.0.0.1:%u", api);
    int err = url_parse(&s->api, slice_str(text), "http", &what);
    snprintf(text, sizeof(text), "ws://127.0.0.1:%u/media/", media);
    if (!err)
        err = url_parse(&s->media, slice_str(text), "ws", &what);
    if (err < 0 || api == 0 || media == 0) {
        snprintf(why, SOCKET_WHY_BYTES, "no free port on loopback");
        return -EADDRINUSE;
    }
    return write_file(s, "sidetone.yaml", builder_slice(&b), why);
}

static int spawn(struct server *s, const char *binary, char why[SOCKET_WHY_BYTES])
{
    char config[PATH_BYTES], log[PATH_BYTES];

    snprintf(config, sizeof(config), "%s/sidetone.yaml", s->folder);
    snprintf(log, sizeof(log), "%s/log", s->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(why, log);
    s->pid = fork();
    if (s->pid == 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execl(binary, binary, "--config", config, (char *)NULL);
        _exit(127);
    }
    close(fd);
    return s->pid < 0 ? fail_errno(why, "fork") : 0;
}

static int wait_healthy(struct server *s, char why[SOCKET_WHY_BYTES])
{
    static char body[SERVER_BODY_BYTES];
    char last[SOCKET_WHY_BYTES] = "";
    int64_t until_ns = socket_now_ns() + SERVER_START_NS;

    while (socket_now_ns() < until_ns) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            snprintf(why, SOCKET_WHY_BYTES, "the server ended at once: see %s/log", s->folder);
            return -ECHILD;
        }
        if (socket_request(&s->api, "GET", "/health", NULL, SECONDS(1), body, sizeof(body), last) ==
            200)
            return 0;
        sleep_ms(20);
    }
    snprintf(why, SOCKET_WHY_BYTES, "the server is not healthy within 10 s: see %s/log", s->folder);
    return -ETIMEDOUT;
}

int server_start(struct server *s, const char *binary, const char *io, const struct script *script,
                 struct slice text, char why[SOCKET_WHY_BYTES])
{
    s->pid = 0;
    snprintf(s->folder, sizeof(s->folder), "/tmp/sidetone-scenario-XXXXXX");
    if (!mkdtemp(s->folder))
        return fail_errno(why, "no temporary folder");
    int err = write_config(s, io, why);
    if (!err)
        err = write_script(s, text, why);
    if (!err)
        err = write_agent(s, script, why);
    if (!err)
        err = spawn(s, binary, why);
    return err ? err : wait_healthy(s, why);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int wait_end(struct server *s, char why[SOCKET_WHY_BYTES])
{
    int64_t until_ns = socket_now_ns() + SERVER_STOP_NS;
    int status = 0;

    while (waitpid(s->pid, &status, WNOHANG) != s->pid) {
        if (socket_now_ns() < until_ns) {
            sleep_ms(20);
            continue;
        }
        kill(s->pid, SIGKILL);
        waitpid(s->pid, &status, 0);
        snprintf(why, SOCKET_WHY_BYTES, "the server does not stop within 10 s of SIGTERM");
        return -1;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    snprintf(why, SOCKET_WHY_BYTES, "the server ended with %s %d: see %s/log",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), s->folder);
    return -1;
}

int server_stop(struct server *s, bool keep, char why[SOCKET_WHY_BYTES])
{
    int ended = 0;

    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        ended = wait_end(s, why);
    }
    s->pid = 0;
    if (!keep && ended == 0)
        (void)nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return ended;
}
