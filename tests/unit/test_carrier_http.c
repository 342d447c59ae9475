/* The HTTP half of carriers: signatures by the published vectors and by tampering, what requests
 * say, the XML they are answered with, and the REST requests that place and end calls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "carrier/carrier_http.h"

extern const struct carrier_http_ops carrier_http_twilio, carrier_http_plivo, carrier_http_vobiz;

#define FIELDS_MAX 8

/* "a=1&b=2", undecoded: tests need no escapes. */
static size_t split(struct carrier_field *out, const char *text)
{
    struct slice rest = slice_str(text);
    size_t count = 0;

    while (rest.len) {
        struct slice one = slice_cut(rest, '&', &rest);
        out[count].name = slice_cut(one, '=', &out[count].value);
        count++;
        assert_true(count < FIELDS_MAX);
    }
    return count;
}

struct asked {
    struct carrier_field fields[FIELDS_MAX], query[FIELDS_MAX];
    struct carrier_request r;
};

static void ask(struct asked *a, const char *base, const char *target, const char *form,
                const char *signature)
{
    struct slice query;
    char text[512];

    (void)slice_cut(slice_str(target), '?', &query);
    *a = (struct asked){.r = {.post = form != NULL,
                              .base = slice_str(base),
                              .target = slice_str(target),
                              .signature = slice_str(signature),
                              .nonce = SLICE("12345")}};
    assert_int_equal(slice_cstr(query, text, sizeof(text)), 0);
    a->r.query = a->query;
    a->r.fields = a->fields;
    a->r.query_count = split(a->query, (const char *)query.at ? (const char *)query.at : "");
    a->r.field_count = split(a->fields, form ? form : "");
}

static int twilio(const char *base, const char *target, const char *form, const char *signature)
{
    struct carrier_account account = {.id = "AC1", .secret = "12345", .url = ""};
    struct asked a;

    ask(&a, base, target, form, signature);
    return carrier_http_twilio.verify(&account, &a.r);
}

static void twilio_signatures(void **state)
{
    static const char target[] = "/myapp.php?foo=1&bar=2";
    static const char form[] = "CallSid=CA1234567890ABCDE&Caller=+14158675309&Digits=1234&"
                               "From=+14158675309&To=+18005551212";
    static const char host[] = "https://mycompany.com";
    static const char good[] = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    (void)state;
    assert_int_equal(twilio(host, target, form, good), 0);
    assert_int_equal(twilio(host, target,
                            "To=+18005551212&From=+12349013030&Digits=1234&Caller=+12349013030&"
                            "CallSid=CA1234567890ABCDE",
                            "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
                     0);
    assert_int_equal(twilio(host, target,
                            "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
                            "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
                     0);
    /* With or without the scheme's own port, whichever side names it. */
    assert_int_equal(twilio("https://mycompany.com:443", target, form, good), 0);
    assert_int_equal(twilio(host, target, form, "kvajT1Ptam85bY51eRf/AJRuM3w="), 0);
    assert_int_equal(twilio("http://mycompany.com", target, form, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
                     0);
    assert_int_equal(twilio("wss://example.com", "/media", NULL, "7PR3qMkpDyEJtMrVOY/LDyNq8J8="),
                     0);
}

static void twilio_tampered(void **state)
{
    static const char target[] = "/myapp.php?foo=1&bar=2";
    static const char form[] = "CallSid=CA1234567890ABCDE&Caller=+14158675309&Digits=1234&"
                               "From=+14158675309&To=+18005551212";
    static const char good[] = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    static const char host[] = "https://mycompany.com";
    struct carrier_account none = {.id = "AC1", .secret = "", .url = ""};
    struct asked a;

    (void)state;
    assert_int_equal(twilio(host, target, form, ""), -EACCES);
    assert_int_equal(twilio(host, target, form, "RSOYDt4T1cUTdK1PDd93/VVr8B9="), -EACCES);
    assert_int_equal(twilio(host, "/myapp.php?foo=1&bar=3", form, good), -EACCES);
    assert_int_equal(twilio("http://mycompany.com", target, form, good), -EACCES);
    assert_int_equal(twilio("https://mycompany.com:444", target, form, "kvajT1Ptam85bY51eRf/A="),
                     -EACCES);
    assert_int_equal(twilio(host, target, NULL, good), -EACCES);
    assert_int_equal(twilio(host, target,
                            "CallSid=CA1234567890ABCDE&Caller=+14158675309&Digits=1235&"
                            "From=+14158675309&To=+18005551212",
                            good),
                     -EACCES);
    ask(&a, host, target, form, good);
    assert_int_equal(carrier_http_twilio.verify(&none, &a.r), -EACCES);
}

/* The URL carries the hash of a body that is no form; HMAC over the URL alone. */
static void twilio_body_hash(void **state)
{
    static const char hash[] = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    struct carrier_account account = {.id = "AC1", .secret = "12345", .url = ""};
    char target[160];
    struct asked a;

    (void)state;
    snprintf(target, sizeof(target), "/myapp.php?bodySHA256=%s", hash);
    ask(&a, "https://mycompany.com", target, NULL, "y77kIzt2vzLz71DgmJGsen2scGs=");
    a.r.post = true;
    a.r.body = SLICE("{\"property\": \"value\", \"boolean\": true}");
    assert_int_equal(carrier_http_twilio.verify(&account, &a.r), 0);
    a.r.body = SLICE("{\"property\": \"value\", \"boolean\": false}");
    assert_int_equal(carrier_http_twilio.verify(&account, &a.r), -EACCES);
}

static int plivo(const char *target, const char *form, const char *signature)
{
    struct carrier_account account = {.id = "MA1", .secret = "my_auth_token", .url = ""};
    struct asked a;

    ask(&a, "https://answer.url", target, form, signature);
    return carrier_http_plivo.verify(&account, &a.r);
}

static void plivo_signatures(void **state)
{
    (void)state;
    assert_int_equal(plivo("/x?a=1&b=2", NULL, "DflzJ3bISKIgRoNlx/dzoL1cvEh31stCUT1erIK0icw="), 0);
    assert_int_equal(plivo("/x?b=2&a=1", NULL, "DflzJ3bISKIgRoNlx/dzoL1cvEh31stCUT1erIK0icw="), 0);
    assert_int_equal(plivo("/x", "CallUUID=abc&From=1000&To=2000",
                           "other,kFHRC2yir+y7jCj4C957VFWXHDMTRU0dDiPpvozwl4Y="),
                     0);
    assert_int_equal(
        plivo("/x?a=1", "From=1000&CallUUID=abc", "++WDmHRo7OZk27Ar8+vj5TDuR/WWc08kGUbiiT53I4k="),
        0);
    assert_int_equal(plivo("/x", "", "l/m/aAl42odhVVQZwJ971QVpS7siLElyi8TkDS7bbyU="), 0);
    assert_int_equal(
        plivo("/x?a=1", "From=1001&CallUUID=abc", "++WDmHRo7OZk27Ar8+vj5TDuR/WWc08kGUbiiT53I4k="),
        -EACCES);
    assert_int_equal(plivo("/x?a=1", "From=1000&CallUUID=abc", ""), -EACCES);
    assert_int_equal(plivo("/x?a=1", "From=1000&CallUUID=abc", ",,"), -EACCES);
}

/* The query and the form are not covered; everything else is. */
static void vobiz_signatures(void **state)
{
    static const char good[] = "j+hqoyP9mIa2X4OPvon3ESLLrtMT7v5hXLBfbGcFdnI=";
    struct carrier_account account = {.id = "MA1", .secret = "my_auth_token", .url = ""};
    struct asked a;

    (void)state;
    ask(&a, "https://answer.url", "/answer?agent_id=a1", "CallUUID=u-1", good);
    assert_int_equal(carrier_http_vobiz.verify(&account, &a.r), 0);
    a.r.nonce = SLICE("12346");
    assert_int_equal(carrier_http_vobiz.verify(&account, &a.r), -EACCES);
    ask(&a, "https://answer.url", "/answers", "CallUUID=u-1", good);
    assert_int_equal(carrier_http_vobiz.verify(&account, &a.r), -EACCES);
}

static void twilio_requests(void **state)
{
    struct carrier_notice news;
    const char *what = NULL;
    struct asked a;

    (void)state;
    ask(&a, "", "/twilio/voice?agent=a1",
        "CallSid=CA1&From=+15550001&To=+15550002&CallStatus=ringing&Direction=inbound", "");
    a.r.what = SLICE("voice");
    assert_int_equal(carrier_http_twilio.read(&a.r, &news, &what), 0);
    assert_int_equal(news.kind, CARRIER_ASKS);
    assert_string_equal(news.call_id, "CA1");
    assert_string_equal(news.from, "+15550001");
    assert_string_equal(news.to, "+15550002");
    assert_false(news.outbound);
    ask(&a, "", "/twilio/status",
        "CallSid=CA1&CallStatus=completed&CallDuration=12&SequenceNumber=3&Direction=outbound-api",
        "");
    a.r.what = SLICE("status");
    assert_int_equal(carrier_http_twilio.read(&a.r, &news, &what), 0);
    assert_int_equal(news.kind, CARRIER_TELLS);
    assert_int_equal(news.duration_s, 12);
    assert_true(news.outbound);
    assert_string_equal(news.event_id, "CA1:3");
    ask(&a, "", "/twilio/status", "From=+15550001", "");
    assert_int_equal(carrier_http_twilio.read(&a.r, &news, &what), -EINVAL);
    assert_string_equal(what, "CallSid must be given");
    ask(&a, "", "/twilio/voice", "CallSid=CA1&From=<script>", "");
    assert_int_equal(carrier_http_twilio.read(&a.r, &news, &what), 0);
    assert_string_equal(news.from, "");
}

static void plivo_requests(void **state)
{
    struct carrier_notice news;
    const char *what = NULL;
    struct asked a;

    (void)state;
    ask(&a, "", "/plivo/answer", "CallUUID=u-1&From=1&To=2&Event=StartApp&Direction=inbound", "");
    a.r.what = SLICE("answer");
    assert_int_equal(carrier_http_plivo.read(&a.r, &news, &what), 0);
    assert_int_equal(news.kind, CARRIER_ASKS);
    ask(&a, "", "/plivo/answer",
        "CallUUID=u-1&Event=Hangup&HangupCause=USER_BUSY&Duration=0&CallStatus=busy", "");
    a.r.what = SLICE("answer");
    assert_int_equal(carrier_http_plivo.read(&a.r, &news, &what), 0);
    assert_int_equal(news.kind, CARRIER_TELLS);
    assert_string_equal(news.cause, "USER_BUSY");
    assert_int_equal(news.duration_s, 0);
    ask(&a, "", "/plivo/hangup", "Event=Hangup", "");
    assert_int_equal(carrier_http_plivo.read(&a.r, &news, &what), -EINVAL);
}

static void answers(void **state)
{
    struct carrier_notice news = {.from = "+15550001", .to = "+15550002"};
    struct carrier_answer a = {
        .media_url = "wss://v.example.com/media/a1", .token = "t-1", .news = &news};
    char text[600];
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    carrier_http_twilio.answer(&a, &b);
    builder_u8(&b, 0);
    assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                              "<Response><Connect><Stream url=\"wss://v.example.com/media/a1\">"
                              "<Parameter name=\"token\" value=\"t-1\"/>"
                              "<Parameter name=\"from\" value=\"+15550001\"/>"
                              "<Parameter name=\"to\" value=\"+15550002\"/>"
                              "</Stream></Connect></Response>\n");
    b.len = 0;
    carrier_http_plivo.answer(&a, &b);
    builder_u8(&b, 0);
    assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                              "<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\" "
                              "contentType=\"audio/x-mulaw;rate=8000\">"
                              "wss://v.example.com/media/a1/t-1</Stream></Response>\n");
    a.media_url = NULL;
    b.len = 0;
    carrier_http_twilio.answer(&a, &b);
    builder_u8(&b, 0);
    assert_non_null(strstr(text, "<Reject reason=\"busy\"/>"));
    b.len = 0;
    carrier_xml(&b, "a<b>&\"'\x01");
    builder_u8(&b, 0);
    assert_string_equal(text, "a&lt;b&gt;&amp;&quot;&apos;");
}

static void check_text(struct slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.at, want, got.len);
}

static void rest_requests(void **state)
{
    struct carrier_account account = {.id = "AC1", .secret = "s", .url = "https://api.example.com"};
    struct carrier_dial d = {.from = "+1",
                             .to = "+2",
                             .answer_url = "https://v/x?a=1",
                             .status_url = "https://v/s",
                             .ring_s = 30};
    struct carrier_rest rest;
    char text[1024];
    struct builder b = builder_of(text, sizeof(text));

    (void)state;
    assert_int_equal(carrier_http_twilio.dial(&account, &d, &b, &rest), 0);
    check_text(rest.url, "https://api.example.com/2010-04-01/Accounts/AC1/Calls.json");
    check_text(rest.head, "Authorization: Basic QUMxOnM=\r\n"
                          "Content-Type: application/x-www-form-urlencoded\r\n");
    check_text(rest.body, "To=%2B2&From=%2B1&Url=https%3A%2F%2Fv%2Fx%3Fa%3D1&"
                          "StatusCallback=https%3A%2F%2Fv%2Fs&StatusCallbackEvent=initiated&"
                          "StatusCallbackEvent=ringing&StatusCallbackEvent=answered&"
                          "StatusCallbackEvent=completed&Timeout=30");
    assert_int_equal(carrier_http_twilio.hang_up(&account, "CA1", &b, &rest), 0);
    check_text(rest.url, "https://api.example.com/2010-04-01/Accounts/AC1/Calls/CA1.json");
    check_text(rest.body, "Status=completed");
    assert_int_equal(carrier_http_plivo.dial(&account, &d, &b, &rest), 0);
    check_text(rest.url, "https://api.example.com/v1/Account/AC1/Call/");
    check_text(rest.body, "{\"from\":\"+1\",\"to\":\"+2\",\"answer_url\":\"https://v/x?a=1\","
                          "\"answer_method\":\"POST\",\"hangup_url\":\"https://v/s\","
                          "\"hangup_method\":\"POST\",\"ring_timeout\":30}");
    assert_int_equal(carrier_http_plivo.hang_up(&account, "u-1", &b, &rest), 0);
    assert_string_equal(rest.method, "DELETE");
    check_text(rest.url, "https://api.example.com/v1/Account/AC1/Call/u-1/");
    assert_int_equal(rest.body.len, 0);
    b = builder_of(text, 40);
    assert_int_equal(carrier_http_twilio.dial(&account, &d, &b, &rest), -EMSGSIZE);
}

static void rest_answers(void **state)
{
    char id[80], why[200];

    (void)state;
    assert_int_equal(carrier_http_twilio.dialled(201, SLICE("{\"sid\":\"CA9\"}"), id, sizeof(id),
                                                 why, sizeof(why)),
                     0);
    assert_string_equal(id, "CA9");
    assert_int_equal(carrier_http_twilio.dialled(400, SLICE("{\"code\":21211,\"message\":\"no\"}"),
                                                 id, sizeof(id), why, sizeof(why)),
                     -EREMOTEIO);
    assert_string_equal(why, "Twilio answered 400: no");
    assert_int_equal(
        carrier_http_twilio.dialled(201, SLICE("<html>"), id, sizeof(id), why, sizeof(why)),
        -EREMOTEIO);
    assert_int_equal(carrier_http_plivo.dialled(201, SLICE("{\"request_uuid\":[\"u-1\",\"u-2\"]}"),
                                                id, sizeof(id), why, sizeof(why)),
                     0);
    assert_string_equal(id, "u-1");
    assert_int_equal(carrier_http_plivo.dialled(401, SLICE("{\"error\":\"not you\"}"), id,
                                                sizeof(id), why, sizeof(why)),
                     -EREMOTEIO);
    assert_string_equal(why, "Plivo answered 401: not you");
    assert_string_equal(id, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twilio_signatures), cmocka_unit_test(twilio_tampered),
        cmocka_unit_test(twilio_body_hash),  cmocka_unit_test(plivo_signatures),
        cmocka_unit_test(vobiz_signatures),  cmocka_unit_test(twilio_requests),
        cmocka_unit_test(plivo_requests),    cmocka_unit_test(answers),
        cmocka_unit_test(rest_requests),     cmocka_unit_test(rest_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
