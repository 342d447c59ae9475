"""Plants a violation of every rule of tools/tidy in a small tree and sees that each is caught, at
its line, and that nothing is said of the tree without it: a gate that cannot fail is worthless."""

PAGE = """# Architecture

| layer | lives in | may include |
|---|---|---|
| base | `src/base` | |
| media | `src/media` | base |
| net | `src/net` | base |
| provider | `src/provider` | base |
| actors | `actors` | net media base |
| main | `src/main.c` | actors net media base |

Pure layers (no state): `media`.

| helper module | what it computes |
|---|---|
| `actors/call/turn` | who speaks |
"""

HEAD = ("/* A header that says what it is, who owns it, which thread uses it and what it never\n"
        " * does. */\n#ifndef GUARD_H\n#define GUARD_H\n\n%s\n#endif\n")

MESSAGES = HEAD % "struct call_msg {\n    int id;\n    struct place at;\n};\n"
PLACE = HEAD % "struct place {\n    int line;\n};\n"

CLEAN = {
    "docs/architecture.md": PAGE,
    "docs/packet.md": "# Packet\n\n1. `media/rtp.c:rtp_parse` reads it\n\n[up](architecture.md)\n",
    "README.md": "# Name\n\n## Two words!\n\n[page](docs/architecture.md#architecture) "
                 "[here](#two-words) [folder](docs) [far](https://example.org/x)\n",
    "docs/limits.md": "# Limits\n\n| limit | value |\n|---|---|\n"
                      "| `src/base/limits.h:RING_BYTES` | 16,384 |\n"
                      "| `src/base/limits.h:WAIT_NS` | 5 s |\n"
                      "| `src/base/limits.h:LOG_BYTES` | 4,194,304 |\n",
    "src/base/limits.h": HEAD % ("#define RING_BYTES 16384 /* full: wait */\n"
                                 "#define WAIT_NS SECONDS(5)\n"
                                 "#define LOG_BYTES (4 * 1024 * 1024)\n"),
    "src/base/bytes.h": HEAD % "int bytes_len(int a);\n",
    "src/base/place.h": PLACE,
    "src/base/ring.c": '#include "base/bytes.h"\n#include <stdatomic.h>\n\n'
                       "static _Atomic int n;\n\n#ifdef RING_C11\nstatic int other;\n#endif\n",
    "src/media/rtp.h": HEAD % "int rtp_parse(int a);\n",
    "src/media/rtp.c": '#include "media/rtp.h"\n\n#include "base/bytes.h"\n\n'
                       "static const int table[] = {1, 2};\n\n"
                       "#if defined(__x86_64__)\n#endif\n\n"
                       "static int helper(int a);\n\n"
                       "int rtp_parse(int a)\n{\n    static const int one = 1;\n"
                       "    if (a)\n        goto fail;\n    return helper(a) + one;\n"
                       "fail:\n    return table[0];\n}\n\n"
                       "struct rtp *rtp_new(void)\n{\n    return malloc(1);\n}\n",
    "src/net/udp.c": '#include "base/bytes.h"\n\nstatic int open_sockets;\n\n'
                     "/* malloc(1) and sprintf(x) are only spoken of here */\n"
                     'static const char *text = "goto hell; time(NULL)";\n\n'
                     "static void udp_done(struct udp *u)\n{\n    u->free(u);\n"
                     "    free(u); /* tidy: allow alloc: the test of an exception */\n}\n",
    "src/net/table.c": "/* tidy: allow alloc in this file: read at boot */\n\n"
                       "static void grow(struct t *t)\n{\n    t->at = realloc(t->at, 9);\n}\n",
    "actors/messages.h": MESSAGES.replace("#define GUARD_H\n",
                                          '#define GUARD_H\n\n#include "base/place.h"\n'),
    "actors/call/turn.h": HEAD % "int turn_step(int a);\n",
    "actors/call/call.h": HEAD % "int call_x(int a);\n",
    "actors/call/call.c": '#include "actors/call/call.h"\n\n#include "actors/call/turn.h"\n'
                          '#include "actors/messages.h"\n#include "media/rtp.h"\n',
    "actors/call/leg.h": HEAD % "int leg_x(int a);\n",
    "src/main.c": '#include "actors/call/call.h"\n',
    "src/provider/sse.h": HEAD % "int sse_next(int a);\n",
    "tools/providers/peer.h": HEAD % '#include "base/bytes.h"\n',
    "tools/providers/peer.c": '#include "tools/providers/peer.h"\n',
    "tests/unit/test_x.c": '#include "media/rtp.h"\n\n#ifdef X\n#endif\n\nstatic void *p(void)\n'
                           "{\n    return malloc(1);\n}\n",
    "tests/fuzz/fuzz_rtp.c": '#include "media/rtp.h"\n',
    "tests/fuzz/corpus/rtp/one": "",
    "tools/check": "#!/usr/bin/env bash\necho\n",
}


def body(line):
    return "static void f(int n)\n{\n" + line + "\n}\n"


def long_function(lines):
    return "static void f(int n)\n{\n" + "    n++;\n" * lines + "}\n"


# rule, path and line where it must be said, what is added to (or, with None, taken from) the tree
CASES = [
    ("layers", "src/base/x.c", 1, {"src/base/x.c": '#include "media/rtp.h"\n'}),
    ("layers", "src/media/x.c", 2, {"src/media/x.c": '\n#include "net/n.h"\n',
                                    "src/net/n.h": HEAD % ""}),
    ("layers", "src/media/x.c", 1, {"src/media/x.c": '#include "actors/messages.h"\n'}),
    ("layers", "src/media/x.c", 1, {"src/media/x.c": '#include "base/log.h"\n',
                                    "src/base/log.h": HEAD % ""}),
    ("layers", "src/media/x.c", 1, {"src/media/x.c": "#include <pthread.h>\n"}),
    ("layers", "src/net/x.c", 1, {"src/net/x.c": '#include "net/nowhere.h"\n'}),
    ("layers", "src/new/x.c", 1, {"src/new/x.c": '#include "base/bytes.h"\n'}),
    ("layers", "docs/architecture.md", 1, {"docs/architecture.md": "# Architecture\n",
                                           "src/main.c": ""}),
    ("layers", "docs/architecture.md", 16, {"actors/call/turn.h": None}),
    ("apart", "tools/providers/peer.c", 2, {
        "tools/providers/peer.c": '#include "tools/providers/peer.h"\n'
                                  '#include "provider/sse.h"\n'}),
    ("apart", "tools/providers/peer.c", 1, {
        "tools/providers/peer.c": '#include "tools/call/shared.h"\n',
        "tools/call/shared.h": HEAD % '#include "provider/sse.h"\n'}),
    ("apart", "src/provider/llm.c", 1, {
        "src/provider/llm.c": '#include "tools/providers/peer.h"\n'}),
    ("actors", "actors/call/call.c", 1, {"actors/call/call.c": '#include "actors/call/leg.h"\n'}),
    ("actors", "actors/call/leg.c", 1, {"actors/call/leg.c": '#include "call.h"\n'}),
    ("globals", "src/media/x.c", 1, {"src/media/x.c": "static int calls;\n"}),
    ("globals", "src/media/x.c", 1, {"src/media/x.c": "struct x *last[4] = {0};\n"}),
    ("globals", "src/media/x.c", 3, {"src/media/x.c": body("    static int calls;")}),
    ("file-length", "src/net/x.c", 801, {"src/net/x.c": "int x;\n" * 801}),
    ("file-length", "tools/check", 801, {"tools/check": "#!/bin/sh\n" + "echo\n" * 800}),
    ("function-length", "src/net/x.c", 2, {"src/net/x.c": long_function(69)}),
    ("columns", "src/net/x.c", 1, {"src/net/x.c": "/* " + "x" * 95 + " */\n"}),
    ("text", "src/net/x.c", 1, {"src/net/x.c": "int x; \n"}),
    ("text", "src/net/x.c", 1, {"src/net/x.c": "int\tx;\n"}),
    ("text", "src/net/x.c", 1, {"src/net/x.c": "int x;"}),
    ("hosts", "README.md", 3, {"README.md": "# N\n\nfrom py" + "pi.org\n"}),
    ("hosts", "tools/get", 2, {"tools/get": "#!/bin/sh\ncurl https://files.python" +
                               "hosted.org/x\n"}),
    ("top-level", "scratch", 1, {"scratch/notes": "x\n"}),
    ("alloc", "src/net/x.c", 3, {"src/net/x.c": body("    char *p = malloc(n);")}),
    ("alloc", "src/net/x.c", 4, {"src/net/x.c": "/* tidy: allow clock in this file: a test */\n" +
                                body("    char *p = malloc(n);")}),
    ("alloc", "src/media/x.c", 3, {"src/media/x.c": body("    free(p);")}),
    ("alloc", "actors/call/leg.c", 3, {"actors/call/leg.c": body("    p = strdup(n);")}),
    ("clock", "actors/call/leg.c", 3, {"actors/call/leg.c": body("    time(NULL);")}),
    ("clock", "src/net/x.c", 3, {"src/net/x.c": body("    clock_gettime(1, &t);")}),
    ("clock", "src/media/x.c", 3, {"src/media/x.c": body("    n = rand ();")}),
    ("unbounded", "src/base/x.c", 3, {"src/base/x.c": body("    strcpy(a, b);")}),
    ("unbounded", "tests/unit/test_x.c", 3, {"tests/unit/test_x.c": body("    sprintf(a, b);")}),
    ("unbounded", "src/net/x.c", 3, {"src/net/x.c": body("    p = alloca(n);")}),
    ("lock", "src/net/x.c", 1, {"src/net/x.c": "static pthread_mutex_t m;\n"}),
    ("lock", "src/base/x.c", 1, {"src/base/x.c": "static _Atomic int n;\n"}),
    ("lock", "actors/call/leg.c", 3, {"actors/call/leg.c": body("    __atomic_load_n(p, 0);")}),
    ("goto", "src/net/x.c", 3, {"src/net/x.c": body("    goto again;")}),
    ("typedef", "src/net/x.c", 1, {"src/net/x.c": "typedef struct x x_t;\n"}),
    ("typedef", "src/net/x.c", 1, {"src/net/x.c": "typedef enum { A } a_t;\n"}),
    ("recursion", "src/net/x.c", 3, {"src/net/x.c": body("    f(n - 1);")}),
    ("ifdef", "src/net/x.c", 1, {"src/net/x.c": "#ifdef DEBUG\n#endif\n"}),
    ("ifdef", "src/media/x.c", 1, {"src/media/x.c": "#if DEBUG\n#endif\n"}),
    ("ifdef", "src/net/x.c", 1, {"src/net/x.c": "#if defined(__x86_64__)\n#endif\n"}),
    ("header", "src/net/x.h", 1, {"src/net/x.h": "#ifndef X\n#define X\n#endif\n"}),
    ("header", "src/net/x.h", 1, {"src/net/x.h": "/* Udp. */\n#ifndef X\n#define X\n#endif\n"}),
    ("pointer", "actors/messages.h", 8, {
        "actors/messages.h": HEAD % "struct said {\n    int n;\n    char *text;\n};\n"}),
    ("pointer", "src/net/messages.h", 7, {
        "src/net/messages.h": HEAD % "struct packet {\n    uintptr_t at;\n};\n"}),
    ("pointer", "actors/messages.h", 8, {
        "actors/messages.h": HEAD % "MESSAGE(said, 3)\n{\n    const char *text;\n};\n"}),
    ("pointer", "actors/messages.h", 10, {
        "src/base/place.h": HEAD % "struct place {\n    const void *at;\n};\n"}),
    ("pointer", "src/net/udp.c", 2, {
        "src/net/udp.c": "struct udp_msg {\n    void (*done)(void);\n};\n"}),
    ("fuzz", "tests/fuzz/fuzz_sdp.c", 1, {"tests/fuzz/fuzz_sdp.c": "int x;\n"}),
    ("fuzz", "tests/fuzz/corpus/sdp", 1, {"tests/fuzz/corpus/sdp/one": ""}),
    ("packet", "docs/packet.md", 3, {"docs/packet.md": "# P\n\n`media/rtp.c:rtp_gone`\n"}),
    ("packet", "docs/packet.md", 3, {"docs/packet.md": "# P\n\n`media/gone.c:rtp_parse`\n"}),
    ("packet", "docs/packet.md", 1, {"docs/packet.md": "# P\n"}),
    ("packet", "docs/packet.md", 1, {"docs/packet.md": None}),
    ("limit", "docs/limits.md", 5, {
        "src/base/limits.h": CLEAN["src/base/limits.h"].replace("16384", "16385")}),
    ("limit", "docs/limits.md", 6, {
        "src/base/limits.h": CLEAN["src/base/limits.h"].replace("SECONDS", "MS")}),
    ("limit", "docs/limits.md", 7, {
        "src/base/limits.h": CLEAN["src/base/limits.h"].replace("LOG_BYTES", "LOG_RING")}),
    ("limit", "src/base/limits.h", 9, {
        "src/base/limits.h": CLEAN["src/base/limits.h"].replace(
            "\n\n#endif", "\n#define NEW_MAX 9\n#endif")}),
    ("limit", "src/base/limits.h", 6, {"docs/limits.md": "# Limits\n"}),
    ("link", "README.md", 1, {"README.md": "[x](docs/gone.md)\n"}),
    ("link", "README.md", 2, {"README.md": "\n[x](docs/architecture.md#nothing)\n"}),
    ("link", "docs/packet.md", 3, {
        "docs/packet.md": "`media/rtp.c:rtp_parse`\n\n[x](../src/gone.c)\n"}),
]


def run(check):
    wrong = []
    for path, line, rule, what in check(CLEAN):
        wrong.append(f"the clean tree: {path}:{line}: {rule}: {what}")
    for rule, path, line, changes in CASES:
        files = {p: t for p, t in {**CLEAN, **changes}.items() if t is not None}
        found = check(files)
        if (path, line, rule) not in {f[:3] for f in found}:
            wrong.append(f"{rule} at {path}:{line} is not caught; said instead: {found}")
    for line in wrong:
        print(line)
    rules = len({case[0] for case in CASES})
    print(f"tidy self-test: {len(CASES)} violations of {rules} rules planted, "
          f"{len(CASES) - len([w for w in wrong if 'not caught' in w])} caught")
    return 1 if wrong else 0
