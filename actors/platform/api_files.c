/* What the API serves as files: the pages, and recordings. */
#include "actors/platform/api_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blob_file.h"

#define PAGE          "talk.html"
#define HEADERS_BYTES 768
#define PATH_BYTES    1024

/* ---- pages ---- */

/* Nothing runs, loads or connects but what is named here; nobody may frame the page. */
static void page_headers(const struct api *api, const struct http_ask *ask, char *out)
{
    char media[URL_BYTES];
    struct slice rest;

    api_media_base(api, ask, media, sizeof(media));
    struct slice scheme = slice_cut(slice_str(media), '/', &rest);
    struct slice host = slice_cut(slice_of(rest.at + 1, rest.len ? rest.len - 1 : 0), '/', &rest);
    snprintf(out, HEADERS_BYTES,
             "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "
             "img-src 'self'; media-src 'self'; connect-src 'self' %.*s//%.*s; base-uri 'none'; "
             "form-action 'none'; frame-ancestors 'none'\r\n"
             "x-content-type-options: nosniff\r\n"
             "referrer-policy: no-referrer\r\n"
             "permissions-policy: microphone=(self), camera=(), geolocation=()\r\n",
             SLICE_ARG(scheme), SLICE_ARG(host));
}

static void file_reply(struct api *api, const struct http_ask *ask, uint16_t status,
                       struct slice name)
{
    const struct console_file *file = console_find(api_world(api)->console, name);
    char headers[HEADERS_BYTES];

    if (!file) {
        answer_fail(api, ask->id, 404, "not_found", "there is no such file", NULL);
        return;
    }
    page_headers(api, ask, headers);
    http_server_reply(api_world(api)->server, ask->id,
                      &(struct http_answer){.status = status,
                                            .content_type = file->content_type,
                                            .body = file->bytes,
                                            .headers = headers});
}

/* Who names an agent that there is not sees the page all the same, and the page says so. */
void on_talk_page(struct api *api, const struct http_ask *ask)
{
    char name[AGENT_NAME_BYTES];
    bool known = slice_cstr(ask->param, name, sizeof(name)) == 0 &&
                 agent_set_find(api_world(api)->agents, name);

    file_reply(api, ask, known ? 200 : 404, SLICE(PAGE));
}

void on_console(struct api *api, const struct http_ask *ask)
{
    file_reply(api, ask, 200, ask->param);
}

/* ---- recordings ---- */

void on_recording(struct api *api, const struct http_ask *ask)
{
    read_logs(api, ask, STORE_CALL_LOG, ask->param);
}

/* The file that the log names; -1 when there is none. */
static int recording_open(const struct api *api, const struct op *op, uint64_t *size)
{
    struct json_doc doc = {0};
    char path[BLOB_PATH_BYTES] = "", full[PATH_BYTES];
    struct stat st;
    int fd = -1;

    if (json_read(&doc, slice_of(op->text, op->len), LOG_BYTES_MAX, NULL) ||
        json_text_of(&doc, "recording", path, sizeof(path)))
        path[0] = '\0';
    json_free(&doc);
    if (!blob_path_ok(path) || !slice_starts(slice_str(path), SLICE("recordings/")) ||
        blob_full(api_world(api)->world->data_dir, path, full, sizeof(full)))
        return -1;
    fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

void recording_reply(struct api *api, struct op *op)
{
    char headers[256];
    uint64_t size = 0;
    struct http_file file = {.fd = recording_open(api, op, &size)};

    if (file.fd < 0) {
        answer_fail(api, op->request, 404, "no_recording", "this call has no recording", NULL);
        return;
    }
    struct http_answer answer = {.status = 206, .content_type = "audio/wav", .file = &file};
    int err = http_range(slice_str(op->range), size, &file.from, &file.bytes);
    if (err == -ERANGE) {
        close(file.fd);
        snprintf(headers, sizeof(headers), "content-range: bytes */%llu\r\n",
                 (unsigned long long)size);
        http_server_reply(api_world(api)->server, op->request,
                          &(struct http_answer){.status = 416, .headers = headers});
        return;
    }
    if (err) { /* all of it */
        answer.status = 200;
        file.from = 0;
        file.bytes = size;
        snprintf(headers, sizeof(headers), "accept-ranges: bytes\r\n");
    } else {
        snprintf(headers, sizeof(headers),
                 "accept-ranges: bytes\r\ncontent-range: bytes %llu-%llu/%llu\r\n",
                 (unsigned long long)file.from, (unsigned long long)(file.from + file.bytes - 1),
                 (unsigned long long)size);
    }
    answer.headers = headers;
    http_server_reply(api_world(api)->server, op->request, &answer);
}
