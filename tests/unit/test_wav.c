/* WAV headers: exact bytes, foreign files, hostile files, repair after a crash. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "media/wav.h"

static const struct wav_format MONO = {WAV_PCM16, 1, 16000};
static const struct wav_format STEREO = {WAV_PCM16, 2, 8000};
static const struct wav_format MULAW = {WAV_MULAW, 1, 8000};
static const struct wav_format ALAW = {WAV_ALAW, 2, 8000};

static const uint8_t MONO_HEADER[44] =
    "RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3E\0\0\0\x7D\0\0\2\0\x10\0"
    "data\4\0\0"; /* the last zero is the literal's own */
static const uint8_t MULAW_HEADER[58] =
    "RIFF\x36\0\0\0WAVEfmt \x12\0\0\0\7\0\1\0\x40\x1F\0\0\x40\x1F\0\0\1\0\x08\0\0\0"
    "fact\4\0\0\0\3\0\0\0data\3\0\0";

static size_t make(uint8_t *out, size_t size, const struct wav_format *format, uint64_t data)
{
    struct builder b = builder_of(out, size);

    memset(out, 0, size);
    assert_int_equal(wav_build(&b, format, data), 0);
    assert_int_equal(b.len, wav_header_bytes(format));
    return b.len;
}

static void builds_exact_bytes(void **state)
{
    uint8_t out[WAV_HEADER_BYTES_MAX];

    (void)state;
    make(out, sizeof(out), &MONO, 4);
    assert_memory_equal(out, MONO_HEADER, 44);
    make(out, sizeof(out), &MULAW, 3); /* odd: the RIFF size counts the padding */
    assert_memory_equal(out, MULAW_HEADER, 58);
}

static void refuses_what_it_cannot_say(void **state)
{
    uint8_t out[WAV_HEADER_BYTES_MAX];
    struct builder b = builder_of(out, sizeof(out)), small = builder_of(out, 43);
    struct wav_format wrong = MONO;

    (void)state;
    assert_int_equal(wav_build(&b, &STEREO, 6), -EINVAL);
    wrong.channels = 3;
    assert_int_equal(wav_build(&b, &wrong, 0), -EINVAL);
    wrong = MONO;
    wrong.rate_hz = WAV_RATE_MAX + 1;
    assert_int_equal(wav_build(&b, &wrong, 0), -EINVAL);
    assert_int_equal(wav_build(&b, &MONO, UINT32_MAX - 1), -EFBIG);
    assert_int_equal(wav_build(&b, &MONO, UINT64_MAX - 1), -EFBIG);
    assert_int_equal(b.len, 0);
    assert_int_equal(wav_build(&b, &MONO, (uint64_t)UINT32_MAX - 37), 0);
    assert_int_equal(wav_build(&small, &MONO, 4), -EMSGSIZE);
}

static void reads_what_it_builds(void **state)
{
    static const struct wav_format *const FORMATS[] = {&MONO, &STEREO, &MULAW, &ALAW};
    uint8_t file[128];
    struct wav_info info;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        size_t header = make(file, sizeof(file), FORMATS[i], 8);
        assert_int_equal(wav_parse(slice_of(file, header + 8), &info), 0);
        assert_int_equal(info.format.encoding, FORMATS[i]->encoding);
        assert_int_equal(info.format.channels, FORMATS[i]->channels);
        assert_int_equal(info.format.rate_hz, FORMATS[i]->rate_hz);
        assert_int_equal(info.data.len, 8);
        assert_ptr_equal(info.data.at, file + header);
        assert_false(info.cut);
    }
}

static void reads_foreign_files(void **state)
{
    /* An odd LIST chunk with its padding, then an extensible format, then a stream's size. */
    static const uint8_t FILE[] = "RIFF\xFF\xFF\xFF\xFFWAVELIST\3\0\0\0abc\0fmt "
                                  "\x28\0\0\0\xFE\xFF\1\0\x40\x1F\0\0\x80\x3E\0\0\2\0\x10\0"
                                  "\x16\0\x10\0\4\0\0\0\1\0\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71"
                                  "data\xFF\xFF\xFF\xFF\1\2\3\4\5";
    struct wav_info info;

    (void)state;
    assert_int_equal(wav_parse(slice_of(FILE, sizeof(FILE) - 1), &info), 0);
    assert_int_equal(info.format.encoding, WAV_PCM16);
    assert_int_equal(info.data.len, 4); /* whole samples */
    assert_int_equal(info.data.at[0], 1);
    assert_true(info.cut);
}

static void data_cut_short_is_taken_as_far_as_it_goes(void **state)
{
    uint8_t file[128];
    struct wav_info info;

    (void)state;
    size_t header = make(file, sizeof(file), &STEREO, 1000);
    for (size_t len = 0; len < header; len++)
        assert_int_equal(wav_parse(slice_of(file, len), &info), -EBADMSG);
    for (size_t len = header; len < sizeof(file); len++) {
        assert_int_equal(wav_parse(slice_of(file, len), &info), 0);
        assert_int_equal(info.data.len, (len - header) / 4 * 4);
        assert_true(info.cut);
    }
}

static void refuses_hostile_files(void **state)
{
    uint8_t file[12 + 8 * (WAV_CHUNKS_MAX + 1) + 64];
    struct wav_info info;

    (void)state;
    make(file, 64, &MONO, 4);
    file[22] = 9; /* channels */
    assert_int_equal(wav_parse(slice_of(file, 48), &info), -ENOTSUP);
    make(file, 64, &MONO, 4);
    file[20] = 85; /* MP3 */
    assert_int_equal(wav_parse(slice_of(file, 48), &info), -ENOTSUP);
    make(file, 64, &MONO, 4);
    file[34] = 24; /* bits */
    assert_int_equal(wav_parse(slice_of(file, 48), &info), -ENOTSUP);
    make(file, 64, &MONO, 4);
    memcpy(file + 12, "data", 4); /* samples before any format */
    assert_int_equal(wav_parse(slice_of(file, 48), &info), -EBADMSG);
    make(file, 64, &MONO, 4);
    memset(file + 16, 0xFF, 4); /* a format chunk of 4 GB */
    assert_int_equal(wav_parse(slice_of(file, 48), &info), -EBADMSG);
    /* As many empty chunks as allowed, and one more. */
    for (size_t extra = 0; extra < 2; extra++) {
        size_t empty = 8 * (WAV_CHUNKS_MAX - 2 + extra);
        make(file, sizeof(file), &MONO, 4);
        memmove(file + 12 + empty, file + 12, 36);
        for (size_t i = 0; i < empty; i += 8)
            memcpy(file + 12 + i, "junk\0\0\0", 8);
        assert_int_equal(wav_parse(slice_of(file, 48 + empty), &info), extra ? -EBADMSG : 0);
    }
}

static void repairs_for_any_length(void **state)
{
    static const struct wav_format *const FORMATS[] = {&MONO, &STEREO, &MULAW, &ALAW};
    uint8_t head[WAV_HEADER_BYTES_MAX], fresh[WAV_HEADER_BYTES_MAX];
    uint64_t keep;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        size_t header = make(head, sizeof(head), FORMATS[i], 0);
        uint32_t block = wav_block_bytes(FORMATS[i]);
        for (uint64_t file = header; file < header + 40; file++) {
            uint64_t data = (file - header) / block * block;
            assert_int_equal(wav_repair(head, header, file, &keep), 0);
            make(fresh, sizeof(fresh), FORMATS[i], data);
            assert_memory_equal(head, fresh, header);
            assert_int_equal(keep, header + data + data % 2);
        }
        assert_int_equal(wav_repair(head, header, header - 1, &keep), -EBADMSG);
        assert_int_equal(wav_repair(head, header - 1, 1000, &keep), -EBADMSG);
        assert_int_equal(wav_repair(head, header, UINT64_C(1) << 33, &keep), -EFBIG);
    }
}

/* Every byte but those of the sizes must be as we write it; another rate, with its bytes per second
 * left as they were, is not ours either. */
static void repairs_only_its_own(void **state)
{
    uint8_t head[WAV_HEADER_BYTES_MAX];
    uint64_t keep;

    (void)state;
    for (size_t at = 0; at < 44; at++) {
        make(head, sizeof(head), &MONO, 0);
        head[at] ^= 0x20;
        bool size = (at >= 4 && at < 8) || at >= 40;
        assert_int_equal(wav_repair(head, 44, 1044, &keep), size ? 0 : -EBADMSG);
    }
    for (size_t at = 0; at < 58; at++) {
        make(head, sizeof(head), &MULAW, 0);
        head[at] ^= 0x20;
        bool size = (at >= 4 && at < 8) || (at >= 46 && at < 50) || at >= 54;
        assert_int_equal(wav_repair(head, 58, 1058, &keep), size ? 0 : -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_exact_bytes),
        cmocka_unit_test(refuses_what_it_cannot_say),
        cmocka_unit_test(reads_what_it_builds),
        cmocka_unit_test(reads_foreign_files),
        cmocka_unit_test(data_cut_short_is_taken_as_far_as_it_goes),
        cmocka_unit_test(refuses_hostile_files),
        cmocka_unit_test(repairs_for_any_length),
        cmocka_unit_test(repairs_only_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
