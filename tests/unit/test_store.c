/* Documents, claims between processes, and the tokens that rest on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/blob_file.h"
#include "store/store.h"
#include "store/token.h"
#include "tests/unit/folder.h"

static struct store *open_store(void)
{
    char why[256] = "";
    struct store *s;

    if (store_open("sqlite:", folder, &s, why, sizeof(why)))
        fail_msg("%s", why);
    return s;
}

struct page {
    char text[2048];
    uint32_t count;
    char last[64];
};

static void page_each(void *ctx, struct slice id, struct slice doc)
{
    struct page *p = ctx;
    size_t len = strlen(p->text);

    (void)doc;
    p->count++;
    snprintf(p->text + len, sizeof(p->text) - len, "%.*s ", SLICE_ARG(id));
    snprintf(p->last, sizeof(p->last), "%.*s", SLICE_ARG(id));
}

static void doc_each(void *ctx, struct slice id, struct slice doc)
{
    (void)id;
    assert_int_equal(slice_cstr(doc, ctx, 512), 0);
}

static void log_put(struct store *s, const char *tenant, const char *id, const char *campaign,
                    const char *at)
{
    char doc[512];
    int len = snprintf(doc, sizeof(doc),
                       "{\"call_id\":\"%s\",\"tenant\":\"%s\",\"agent_id\":\"a\",\"direction\":"
                       "\"inbound\",\"protocol\":\"rtp\",\"status\":\"completed\",\"created_at\":"
                       "\"%s\",\"updated_at\":\"%s\",\"start_time\":\"%s\",\"campaign_id\":\"%s\"}",
                       id, tenant, at, at, at, campaign);

    assert_int_equal(store_put(s, tenant, "call_logs", id, slice_of(doc, (size_t)len)), 0);
}

static void documents_come_back(void **state)
{
    struct store *s = open_store();
    char text[512] = "";

    (void)state;
    assert_int_equal(
        store_insert(s, "t", "media_tokens", "n1", SLICE("{\"agent\":\"a\",\"expires_at\":5}")), 0);
    assert_int_equal(
        store_insert(s, "t", "media_tokens", "n1", SLICE("{\"agent\":\"b\",\"expires_at\":5}")),
        -EEXIST);
    assert_int_equal(store_get(s, "t", "media_tokens", "n1", doc_each, text), 0);
    assert_string_equal(text, "{\"agent\":\"a\",\"expires_at\":5}");
    assert_int_equal(store_get(s, "other", "media_tokens", "n1", doc_each, text), -ENOENT);
    assert_int_equal(store_insert(s, "other", "media_tokens", "n1",
                                  SLICE("{\"agent\":\"b\",\"expires_at\":50}")),
                     0);
    assert_int_equal(
        store_put(s, "t", "media_tokens", "n1", SLICE("{\"agent\":\"c\",\"expires_at\":70}")), 0);
    assert_int_equal(store_get(s, "t", "media_tokens", "n1", doc_each, text), 0);
    assert_string_equal(text, "{\"agent\":\"c\",\"expires_at\":70}");
    uint32_t gone;

    assert_int_equal(store_sweep(s, "media_tokens", 60, &gone), 0);
    assert_int_equal(gone, 1);
    assert_int_equal(store_sweep(s, "call_logs", 60, &gone), -EINVAL);
    store_close(&s);
    assert_null(s);
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/sidetone.db", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void wrong_documents_are_refused(void **state)
{
    struct store *s = open_store();
    char id[STORE_ID_BYTES + 2];

    (void)state;
    memset(id, 'x', sizeof(id));
    id[STORE_ID_BYTES + 1] = '\0';
    assert_int_equal(store_put(s, "t", "nothing", "x", SLICE("{}")), -EINVAL);
    assert_int_equal(store_put(s, "t", "call_logs", "x", SLICE("{}")), -EINVAL);
    assert_string_equal(s->why, "call_logs: call_id must be given");
    assert_int_equal(store_put(s, "t", "media_tokens", "x", SLICE("[1]")), -EINVAL);
    assert_int_equal(store_put(s, "t", "media_tokens", "x", SLICE("{\"agent\":\"a\"")), -EINVAL);
    assert_int_equal(
        store_put(s, "t", "media_tokens", "x", SLICE("{\"agent\":1,\"expires_at\":5}")), -EINVAL);
    assert_string_equal(s->why, "media_tokens: agent is of another type");
    assert_int_equal(
        store_put(s, "t", "media_tokens", id, SLICE("{\"agent\":\"a\",\"expires_at\":5}")),
        -EINVAL);
    id[STORE_ID_BYTES] = '\0';
    assert_int_equal(
        store_put(s, "t", "media_tokens", id, SLICE("{\"agent\":\"a\",\"expires_at\":5}")), 0);
    assert_int_equal(store_get(s, "", "media_tokens", "x", page_each, NULL), -EINVAL);
    assert_int_equal(
        store_get(s, "t", "media_tokens", "a'; DROP TABLE effects; --", page_each, NULL), -ENOENT);
    store_close(&s);
}

static void lists_come_in_pages(void **state)
{
    struct store *s = open_store();
    struct page all = {0};
    struct page one = {0};
    struct page two = {0};
    struct page any = {0};

    (void)state;
    log_put(s, "t", "c1", "spring", "2026-01-01T00:00:00.000Z");
    log_put(s, "t", "c2", "spring", "2026-01-02T00:00:00.000Z");
    log_put(s, "t", "c3", "autumn", "2026-01-03T00:00:00.000Z");
    log_put(s, "t", "c4", "spring", "2026-01-02T00:00:00.000Z");
    log_put(s, "t", "c5", "spring", "2026-01-05T00:00:00.000Z");
    log_put(s, "u", "c6", "spring", "2026-01-06T00:00:00.000Z");
    assert_int_equal(
        store_list(s, "t", "call_logs", "campaign", "spring", 10, NULL, page_each, &all), 0);
    assert_string_equal(all.text, "c5 c4 c2 c1 ");
    assert_int_equal(
        store_list(s, "t", "call_logs", "campaign", "spring", 2, NULL, page_each, &one), 0);
    assert_string_equal(one.text, "c5 c4 ");
    assert_int_equal(
        store_list(s, "t", "call_logs", "campaign", "spring", 2, one.last, page_each, &two), 0);
    assert_string_equal(two.text, "c2 c1 ");
    assert_int_equal(store_list(s, "t", "call_logs", "created_at", NULL, 3, NULL, page_each, &any),
                     0);
    assert_string_equal(any.text, "c5 c3 c4 ");
    assert_int_equal(
        store_list(s, "t", "call_logs", "campaign", "spring", 2, "c6", page_each, &two), -ENOENT);
    assert_int_equal(store_list(s, "t", "call_logs", "campaign", NULL, 2, NULL, page_each, &two),
                     -EINVAL);
    assert_int_equal(store_list(s, "t", "call_logs", "status", "x", 2, NULL, page_each, &two),
                     -EINVAL);
    store_close(&s);
}

static void stores_that_cannot_be_opened(void **state)
{
    char why[256];
    struct store *s;

    (void)state;
    assert_int_equal(store_open("mysql:x", folder, &s, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "there is no store of the kind \"mysql\"");
    assert_true(store_open("sqlite:/nowhere/x.db", folder, &s, why, sizeof(why)) < 0);
    assert_null(s);
    assert_non_null(strstr(why, "the store /nowhere/x.db cannot be opened"));
}

/* ---- two processes ---- */

#define CLAIMS 40

/* Claims every one of them; the exit code is how many it got, or 255. */
static void claimer(void)
{
    char why[256];
    struct store *s;
    int won = 0;

    if (store_open("sqlite:", folder, &s, why, sizeof(why)))
        _exit(255);
    for (int i = 0; i < CLAIMS; i++) {
        char id[32];

        snprintf(id, sizeof(id), "claim-%d", i);
        int rc =
            store_insert(s, "t", "media_tokens", id, SLICE("{\"agent\":\"a\",\"expires_at\":5}"));

        if (rc && rc != -EEXIST)
            _exit(255);
        won += rc == 0;
    }
    store_close(&s);
    _exit(won);
}

static void each_claim_is_won_once(void **state)
{
    pid_t pids[3];
    int won = 0;
    char saved[64];

    (void)state;
    /* A fresh store: opening it at once is part of the race. */
    memcpy(saved, folder, sizeof(saved));
    assert_int_equal(folder_make(NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (!pids[i])
            claimer();
    }
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        int status;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 255);
        won += WEXITSTATUS(status);
    }
    assert_int_equal(won, CLAIMS);
    folder_drop(NULL);
    memcpy(folder, saved, sizeof(saved));
}

/* ---- files ---- */

static void paths_stay_inside(void **state)
{
    static const char *const bad[] = {"", ".", "..", "a/b", ".hidden", "a b", "a\nb", "\xc3\xa9"};
    char path[BLOB_PATH_BYTES];
    char name[BLOB_NAME_BYTES + 1];

    (void)state;
    assert_int_equal(blob_path(BLOB_RECORDING, NULL, "c-1", path, sizeof(path)), 0);
    assert_string_equal(path, "recordings/direct/c-1.wav");
    assert_true(blob_path_ok(path));
    assert_int_equal(blob_path(BLOB_TRANSCRIPT, "spring", "c-1", path, sizeof(path)), 0);
    assert_string_equal(path, "transcripts/spring/c-1.json");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(blob_path(BLOB_RECORDING, "x", bad[i], path, sizeof(path)), -EINVAL);
        if (i)
            assert_int_equal(blob_path(BLOB_RECORDING, bad[i], "x", path, sizeof(path)), -EINVAL);
    }
    memset(name, 'x', sizeof(name));
    name[BLOB_NAME_BYTES] = '\0';
    assert_int_equal(blob_path(BLOB_RECORDING, "x", name, path, sizeof(path)), -EINVAL);
    name[BLOB_NAME_BYTES - 1] = '\0';
    assert_int_equal(blob_path(BLOB_RECORDING, "x", name, path, sizeof(path)), 0);
    assert_false(blob_path_ok("recordings/../x.wav"));
    assert_false(blob_path_ok("recordings/a/b/x.wav"));
    assert_false(blob_path_ok("/etc/passwd"));
    assert_false(blob_path_ok("recordings/a"));
}

static void files_are_written_whole(void **state)
{
    char full[256];
    char text[64] = "";

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(blob_write(folder, "transcripts/direct/a.json",
                                    i ? SLICE("second") : SLICE("the first")),
                         0);
    assert_int_equal(blob_full(folder, "transcripts/direct/a.json", full, sizeof(full)), 0);
    FILE *f = fopen(full, "r");

    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    assert_string_equal(text, "second");
    assert_true(blob_write("/proc", "transcripts/direct/a.json", SLICE("x")) < 0);
}

/* ---- tokens ---- */

static void tokens_hold_a_minute(void **state)
{
    struct token_key key;
    struct token_key same;
    struct token t;
    uint8_t nonce[TOKEN_NONCE_BYTES];
    char text[TOKEN_TEXT_BYTES];
    char long_id[TOKEN_AGENT_MAX + 2];
    char path[128];
    char why[256];
    struct stat st;

    (void)state;
    assert_int_equal(token_key_load(folder, &key, why, sizeof(why)), 0);
    assert_int_equal(token_key_load(folder, &same, why, sizeof(why)), 0);
    assert_memory_equal(&key, &same, sizeof(key));
    snprintf(path, sizeof(path), "%s/media.key", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(token_nonce(nonce), 0);
    assert_int_equal(token_mint(&key, "clinic", 1000, nonce, text, sizeof(text)), 0);
    assert_int_equal(token_verify(&key, slice_str(text), 60999, &t), 0);
    assert_string_equal(t.agent, "clinic");
    assert_int_equal(t.expires_ms, 61000);
    assert_memory_equal(t.nonce, nonce, sizeof(nonce));
    assert_int_equal(token_verify(&key, slice_str(text), 61000, &t), -ETIMEDOUT);
    same.bytes[5] ^= 1;
    assert_int_equal(token_verify(&same, slice_str(text), 1000, &t), -EACCES);
    memset(long_id, 'a', sizeof(long_id));
    long_id[TOKEN_AGENT_MAX + 1] = '\0';
    assert_int_equal(token_mint(&key, long_id, 1000, nonce, text, sizeof(text)), -EINVAL);
    long_id[TOKEN_AGENT_MAX] = '\0';
    assert_int_equal(token_mint(&key, long_id, 1000, nonce, text, sizeof(text)), 0);
    assert_int_equal(token_verify(&key, slice_str(text), 1000, &t), 0);
    assert_int_equal(token_mint(&key, "", 1000, nonce, text, sizeof(text)), -EINVAL);
}

/* Every character wrong in turn, every length, and odd texts. */
static void other_tokens_are_refused(void **state)
{
    struct token_key key = {{7}};
    struct token t;
    uint8_t nonce[TOKEN_NONCE_BYTES] = {1};
    char text[TOKEN_TEXT_BYTES];
    char long_text[4096];

    (void)state;
    assert_int_equal(token_mint(&key, "clinic", 1000, nonce, text, sizeof(text)), 0);
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        char was = text[i];

        text[i] = was == 'A' ? 'B' : 'A';
        assert_true(token_verify(&key, slice_str(text), 1000, &t) < 0);
        text[i] = was;
        assert_true(token_verify(&key, slice_of(text, i), 1000, &t) < 0);
    }
    assert_int_equal(token_verify(&key, slice_str(text), 1000, &t), 0);
    assert_int_equal(token_verify(&key, SLICE("a+b/c="), 1000, &t), -EINVAL);
    memset(long_text, 'A', sizeof(long_text));
    assert_int_equal(token_verify(&key, slice_of(long_text, sizeof(long_text)), 1000, &t), -EINVAL);
}

static void a_token_is_used_once(void **state)
{
    struct store *s = open_store();
    struct token t = {.agent = "clinic", .expires_ms = 61000, .nonce = {1, 2, 255}};
    char doc[512];

    (void)state;
    assert_int_equal(token_redeem(s, &t), 0);
    assert_int_equal(token_redeem(s, &t), -EEXIST);
    assert_int_equal(store_get(s, STORE_TENANT, "media_tokens", "0102ff00000000000000000000000000",
                               doc_each, doc),
                     0);
    assert_string_equal(doc, "{\"agent\":\"clinic\",\"expires_at\":61000}");
    store_close(&s);
}

static void a_broken_key_is_said(void **state)
{
    struct token_key key;
    char path[128];
    char why[256];

    (void)state;
    snprintf(path, sizeof(path), "%s/media.key", folder);
    assert_int_equal(truncate(path, 3), 0);
    assert_true(token_key_load(folder, &key, why, sizeof(why)) < 0);
    assert_non_null(strstr(why, "media.key cannot be used: it is not 32 bytes long"));
}

/* ---- several writes as one ---- */

static bool has(struct store *s, const char *id)
{
    char doc[512];

    return store_get(s, STORE_TENANT, "call_logs", id, doc_each, doc) == 0;
}

/* A write that fails leaves the others as they are; nobody else sees any before the commit. */
static void writes_are_committed_together(void **state)
{
    struct store *s = open_store();
    struct store *other = open_store();

    (void)state;
    assert_int_equal(store_begin(s), 0);
    log_put(s, STORE_TENANT, "together-1", "c", "2026-11-01T00:00:00Z");
    assert_int_equal(store_insert(s, STORE_TENANT, "carrier_events", "together", SLICE("{}")),
                     -EINVAL);
    assert_int_equal(store_put(s, STORE_TENANT, "call_logs", "together-2", SLICE("[")), -EINVAL);
    log_put(s, STORE_TENANT, "together-3", "c", "2026-11-01T00:00:01Z");
    assert_true(has(s, "together-1"));
    assert_false(has(other, "together-1"));
    assert_int_equal(store_commit(s), 0);
    assert_true(has(other, "together-1") && has(other, "together-3"));
    assert_false(has(other, "together-2"));
    assert_true(store_commit(s) < 0); /* nothing was begun */
    log_put(s, STORE_TENANT, "alone", "c", "2026-11-01T00:00:02Z");
    assert_true(has(other, "alone"));
    store_close(&s);
    store_close(&other);
}

/* What was begun by a process that then dies was never there. */
static void writes_without_a_commit_are_none(void **state)
{
    struct store *s = open_store();

    (void)state;
    assert_int_equal(store_begin(s), 0);
    log_put(s, STORE_TENANT, "lost", "c", "2026-11-01T00:00:00Z");
    store_close(&s);
    s = open_store();
    assert_false(has(s, "lost"));
    assert_int_equal(store_begin(s), 0); /* and holds nobody up */
    assert_int_equal(store_commit(s), 0);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back),
        cmocka_unit_test(wrong_documents_are_refused),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(stores_that_cannot_be_opened),
        cmocka_unit_test(each_claim_is_won_once),
        cmocka_unit_test(paths_stay_inside),
        cmocka_unit_test(files_are_written_whole),
        cmocka_unit_test(tokens_hold_a_minute),
        cmocka_unit_test(other_tokens_are_refused),
        cmocka_unit_test(a_token_is_used_once),
        cmocka_unit_test(a_broken_key_is_said),
        cmocka_unit_test(writes_are_committed_together),
        cmocka_unit_test(writes_without_a_commit_are_none),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
