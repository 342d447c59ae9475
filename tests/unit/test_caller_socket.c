/* The calling program's wires, on real sockets: what they say of the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "media/rtp.h"
#include "tools/call/caller_socket.h"

#define PACKETS 3

static int peer_of(uint16_t port)
{
    struct address at = {.family = 4, .ip = {127, 0, 0, 1}, .port = port};
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&at, &name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
    return fd;
}

static void send_packets(int fd)
{
    uint8_t code[160] = {0}, store[200];
    struct rtp_send send_state;

    rtp_send_init(&send_state, 9, 1, 0);
    for (uint32_t i = 0; i < PACKETS; i++) {
        struct builder b = builder_of(store, sizeof(store));
        assert_int_equal(rtp_send_packet(&send_state, &b, RTP_PT_PCMU, false, 160 * i,
                                         slice_of(code, sizeof(code))),
                         0);
        assert_int_equal(send(fd, store, b.len, 0), b.len);
    }
}

static void leave_when_up(void *context, struct caller *c, struct caller_output *out)
{
    (void)context;
    if (c->state == CALLER_TALKING)
        caller_hang_up(c, out);
}

/* Three packets come, the program is elsewhere, and then it runs: is what it takes for the far
 * end's beginning when that was? The third tells: it was full 60 ms after the first one's
 * beginning. */
static bool begins_when_sent(int fd, int peer)
{
    static int16_t ear[8000];
    static struct caller c;
    struct caller_config config = {.dialect = &caller_rtp, .ear = ear, .ear_samples = 8000};
    int64_t before_ns = socket_now_ns();

    send_packets(peer);
    int64_t after_ns = socket_now_ns();
    usleep(50000);
    caller_init(&c, &config);
    assert_int_equal(socket_run(&c, fd, true, socket_now_ns() + SECONDS(60), leave_when_up, NULL),
                     0);
    int64_t first_ns = c.start_ns + MS(PACKETS * 20);
    assert_true(first_ns >= before_ns - MS(1)); /* two clocks */
    return first_ns <= after_ns + MS(1);
}

/* The kernel begins to note arrivals a moment after it is asked to. */
static void what_waits_was_there_before(void **state)
{
    char why[SOCKET_WHY_BYTES];
    uint16_t port;
    bool noted = false;

    (void)state;
    int fd = socket_bind("127.0.0.1", &port, why);
    assert_true(fd >= 0);
    int peer = peer_of(port);
    for (int i = 0; i < 100 && !noted; i++)
        noted = begins_when_sent(fd, peer);
    assert_true(noted);
    close(peer);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_was_there_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
