/* Recordings in their slots: what goes to the WAV, and what a start after a kill finds there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/recording_folder.h"

static void a_recording_is_written_as_it_happens(void **state)
{
    struct recording_file *f = tail_new("plain", 2);
    struct recording_shard *s = recording_shard(f, 0);
    uint8_t header[RECORDING_HEADER_BYTES];
    uint8_t pcm[FRAME_BYTES];
    char full[256];
    uint32_t h;
    bool bad;

    (void)state;
    header_make(header);
    assert_int_equal(blob_folders(folder, "recordings/direct/a.wav"), 0);
    assert_int_equal(blob_full(folder, "recordings/direct/a.wav", full, sizeof(full)), 0);
    int fd = open(full, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(recording_begin(s, "../a.wav", slice_of(header, 44), &h), -EINVAL);
    assert_int_equal(recording_begin(s, "recordings/direct/a.wav", slice_of(header, 43), &h),
                     -EINVAL);
    assert_int_equal(recording_begin(s, "recordings/direct/a.wav", slice_of(header, 44), &h), 0);
    for (uint64_t i = 0; i < 500; i++) {
        sound_make(i * FRAME_BYTES, pcm, sizeof(pcm));
        assert_int_equal(recording_append(s, h, slice_of(pcm, sizeof(pcm))), 0);
        write_out(s, h, fd, false);
    }
    write_out(s, h, fd, true);
    recording_header(s, h, header);
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    close(fd);
    assert_int_equal(recording_bytes(s, h, &bad), 500 * FRAME_BYTES);
    assert_false(bad);
    recording_end(s, h);
    assert_int_equal(wav_check("recordings/direct/a.wav", 0), 500 * FRAME_BYTES);
    recording_file_close(&f);
}

static void a_slow_disk_makes_it_bad_not_longer(void **state)
{
    struct recording_file *f = tail_new("slow", 2);
    struct recording_shard *s = recording_shard(f, 0);
    uint8_t header[RECORDING_HEADER_BYTES];
    static uint8_t pcm[RECORDING_CHUNK_BYTES];
    struct recording_write w;
    struct recording_write again;
    uint32_t h;
    uint32_t other;
    bool bad;

    (void)state;
    header_make(header);
    assert_int_equal(recording_begin(s, "recordings/x/s.wav", slice_of(header, 44), &h), 0);
    assert_int_equal(recording_begin(s, "recordings/x/t.wav", slice_of(header, 44), &other), 0);
    assert_int_equal(recording_begin(s, "recordings/x/u.wav", slice_of(header, 44), &other),
                     -ENOSPC);
    for (size_t i = 0; i < RECORDING_RING_BYTES / RECORDING_CHUNK_BYTES; i++)
        assert_int_equal(recording_append(s, h, slice_of(pcm, sizeof(pcm))), 0);
    assert_true(recording_next(s, h, false, &w));
    assert_int_equal(w.offset, RECORDING_HEADER_BYTES);
    assert_int_equal(w.bytes.len, RECORDING_CHUNK_BYTES);
    assert_false(recording_next(s, h, false, &again)); /* one at a time */
    assert_int_equal(recording_append(s, h, slice_of(pcm, 2)), -ENOBUFS);
    recording_written(s, h, 1000); /* a short write: the rest comes again */
    assert_true(recording_next(s, h, false, &again));
    assert_int_equal(again.offset, RECORDING_HEADER_BYTES + 1000);
    assert_int_equal(again.bytes.len, RECORDING_CHUNK_BYTES - 1000);
    assert_int_equal(recording_bytes(s, h, &bad), RECORDING_RING_BYTES);
    assert_true(bad);
    recording_written(s, h, 0); /* an error: nothing more is written */
    assert_false(recording_next(s, h, true, &again));
    recording_header(s, h, header);
    assert_int_equal(u32_le(header + 40), 1000);
    recording_file_close(&f); /* still open: the file stays for recovery */
    char path[128];

    snprintf(path, sizeof(path), "%s/slow.tail", journal_dir);
    assert_int_equal(unlink(path), 0);
}

/* ---- the window ---- */

static void lay(struct recording_shard *s, uint32_t h, enum recording_side side, int64_t at,
                int16_t value, size_t n)
{
    static int16_t pcm[RECORDING_WINDOW_SAMPLES * 2];

    for (size_t i = 0; i < n; i++)
        pcm[i] = value;
    recording_lay(s, h, side, at, pcm, n);
}

static uint32_t begin(struct recording_shard *s, const char *path, uint16_t channels)
{
    uint8_t header[RECORDING_HEADER_BYTES];
    uint32_t h;

    header_of(header, channels);
    assert_int_equal(recording_begin(s, path, slice_of(header, sizeof(header)), &h), 0);
    return h;
}

/* The samples of a WAV after its process is gone and another has started. */
static size_t recovered(struct recording_file **f, const char *path, int16_t *pcm, size_t max)
{
    static uint8_t wav[1 << 20];
    struct recover_report report;

    recording_file_close(f); /* its recordings are open: the file stays */
    recover_once(&report);
    assert_int_equal(report.recordings, 1);
    size_t len = file_read(path, wav, sizeof(wav));
    assert_true(len >= RECORDING_HEADER_BYTES);
    assert_int_equal(u32_le(wav + 40), len - RECORDING_HEADER_BYTES);
    size_t n = (len - RECORDING_HEADER_BYTES) / sizeof(*pcm);
    memcpy(pcm, wav + RECORDING_HEADER_BYTES, (n < max ? n : max) * sizeof(*pcm));
    return n;
}

static void the_window_survives(void **state)
{
    struct recording_file *f = tail_new("window", 1);
    struct recording_shard *s = recording_shard(f, 0);
    static int16_t pcm[8000];
    uint32_t h = begin(s, "recordings/direct/w.wav", 1);

    (void)state;
    lay(s, h, RECORDING_CALLER, 0, 100, 3200);
    lay(s, h, RECORDING_AGENT, 1600, 30000, 4800); /* sent ahead: to 6400 */
    lay(s, h, RECORDING_CALLER, 3200, 20000, 400);
    recording_reach(s, h, 3600);
    recording_reach(s, h, 3000); /* never back */
    assert_int_equal(recording_settle(s, h, 2000), 0);
    assert_int_equal(recording_first(s, h), 2000);
    lay(s, h, RECORDING_CALLER, 1900, 7, 200); /* half of it is too late */
    size_t n = recovered(&f, "recordings/direct/w.wav", pcm, ARRAY_LEN(pcm));

    assert_int_equal(n, 3600); /* and nothing of what the caller never heard */
    assert_int_equal(pcm[1599], 100);
    assert_int_equal(pcm[1600], 30100);
    assert_int_equal(pcm[1999], 30100);
    assert_int_equal(pcm[2000], 30007);
    assert_int_equal(pcm[2100], 30100);
    assert_int_equal(pcm[3199], 30100);
    assert_int_equal(pcm[3200], INT16_MAX); /* as the living one mixes: saturated */
    assert_int_equal(pcm[3599], INT16_MAX);
}

static void what_was_taken_back_stays_so(void **state)
{
    struct recording_file *f = tail_new("cut", 1);
    struct recording_shard *s = recording_shard(f, 0);
    static int16_t pcm[16000];
    uint32_t h = begin(s, "recordings/direct/c.wav", 2);

    (void)state;
    assert_int_equal(recording_settle(s, h, 5000), 0); /* the window turns round its end */
    lay(s, h, RECORDING_CALLER, 5000, 1, 3000);
    lay(s, h, RECORDING_AGENT, 5000, 2, 3000);
    recording_cut(s, h, RECORDING_AGENT, 6500);
    recording_cut(s, h, RECORDING_AGENT, 5000 + RECORDING_WINDOW_SAMPLES);
    recording_reach(s, h, 8000);
    size_t n = recovered(&f, "recordings/direct/c.wav", pcm, ARRAY_LEN(pcm));

    assert_int_equal(n, 2 * 8000);
    for (size_t i = 0; i < 8000; i++) {
        assert_int_equal(pcm[2 * i], i < 5000 ? 0 : 1);
        assert_int_equal(pcm[2 * i + 1], i < 5000 || i >= 6500 ? 0 : 2);
    }
}

static void sound_beyond_the_window_is_left_out(void **state)
{
    struct recording_file *f = tail_new("beyond", 1);
    struct recording_shard *s = recording_shard(f, 0);
    static int16_t pcm[RECORDING_WINDOW_SAMPLES + 1000];
    uint32_t h = begin(s, "recordings/direct/b.wav", 1);

    (void)state;
    lay(s, h, RECORDING_CALLER, 0, 1, RECORDING_WINDOW_SAMPLES);
    lay(s, h, RECORDING_CALLER, RECORDING_WINDOW_SAMPLES, 2, 10);
    lay(s, h, RECORDING_CALLER, INT64_MAX / 2, 3, 10);
    lay(s, h, RECORDING_CALLER, -5, 4, 5);
    recording_reach(s, h, INT64_MAX / 2);
    size_t n = recovered(&f, "recordings/direct/b.wav", pcm, ARRAY_LEN(pcm));

    assert_int_equal(n, RECORDING_WINDOW_SAMPLES);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pcm[i], 1);
}

/* A ring that is full loses sound, and what comes later keeps its place in the window. */
static void a_hole_does_not_move_the_window(void **state)
{
    struct recording_file *f = tail_new("hole", 1);
    struct recording_shard *s = recording_shard(f, 0);
    static int16_t pcm[RECORDING_RING_BYTES / 2 + 1000];
    int64_t room = RECORDING_RING_BYTES / 2;
    uint32_t h = begin(s, "recordings/direct/h.wav", 1);
    bool bad;

    (void)state;
    int64_t fits = room - room % 320;

    assert_int_equal(recording_settle(s, h, fits), 0);
    assert_int_equal(recording_settle(s, h, fits + 640), -ENOBUFS);
    assert_true(recording_bytes(s, h, &bad) > 0 && bad);
    assert_int_equal(recording_first(s, h), fits + 640);
    lay(s, h, RECORDING_CALLER, fits + 640, 5, 320);
    recording_reach(s, h, fits + 960);
    size_t n = recovered(&f, "recordings/direct/h.wav", pcm, ARRAY_LEN(pcm));

    assert_int_equal(n, fits + 320);
    assert_int_equal(pcm[n - 321], 0);
    assert_int_equal(pcm[n - 320], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_is_written_as_it_happens),
        cmocka_unit_test(a_slow_disk_makes_it_bad_not_longer),
        cmocka_unit_test(the_window_survives),
        cmocka_unit_test(what_was_taken_back_stays_so),
        cmocka_unit_test(sound_beyond_the_window_is_left_out),
        cmocka_unit_test(a_hole_does_not_move_the_window),
    };

    return cmocka_run_group_tests(tests, recording_folder_make, folder_drop);
}
