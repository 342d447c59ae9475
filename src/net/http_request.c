#include "net/http_request.h"

const char *http_method_name(int method)
{
    switch (method) {
    case LWSHUMETH_GET:
    case LWSHUMETH_HEAD:
        return "GET";
    case LWSHUMETH_POST:
        return "POST";
    case LWSHUMETH_DELETE:
        return "DELETE";
    case LWSHUMETH_PUT:
        return "PUT";
    case LWSHUMETH_PATCH:
        return "PATCH";
    default:
        return "";
    }
}

bool http_read_length(struct lws *wsi, bool *given, uint64_t *length)
{
    char text[24];
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);

    *length = 0;
    *given = n > 0;
    if (n <= 0)
        return true;
    if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) < 0)
        return false;
    return slice_u64(slice_str(text), UINT32_MAX, length) == 0;
}

bool http_read_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t out_bytes,
                      struct slice *value)
{
    int n = lws_hdr_total_length(wsi, token);

    *value = SLICE_NONE;
    if (n <= 0)
        return true;
    if ((size_t)n >= out_bytes || lws_hdr_copy(wsi, out, (int)out_bytes, token) < 0)
        return false;
    *value = slice_of(out, (size_t)n);
    return true;
}
