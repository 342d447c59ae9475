/* What the tests of recordings and of recovery share: a data folder of their own, a WAV header, a
 * sound in which every byte tells its place, and one look at what is on disk. Included by one test
 * each, after cmocka.h. */
#ifndef UNIT_RECORDING_FOLDER_H
#define UNIT_RECORDING_FOLDER_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/blob_file.h"
#include "store/recording.h"
#include "store/recover.h"
#include "tests/unit/folder.h"

#define FRAME       320 /* 20 ms of 16 kHz mono */
#define FRAME_BYTES 640

static char journal_dir[80];

static inline int recording_folder_make(void **state)
{
    int err = folder_make(state);

    snprintf(journal_dir, sizeof(journal_dir), "%s/journal", folder);
    return err;
}

static inline void header_of(uint8_t out[RECORDING_HEADER_BYTES], uint16_t channels)
{
    struct builder b = builder_of(out, RECORDING_HEADER_BYTES);

    builder_str(&b, "RIFF");
    builder_u32_le(&b, 36);
    builder_str(&b, "WAVEfmt ");
    builder_u32_le(&b, 16);
    builder_u16_le(&b, 1);
    builder_u16_le(&b, channels);
    builder_u32_le(&b, 16000);
    builder_u32_le(&b, 32000u * channels);
    builder_u16_le(&b, (uint16_t)(2 * channels));
    builder_u16_le(&b, 16);
    builder_str(&b, "data");
    builder_u32_le(&b, 0);
}

static inline void header_make(uint8_t out[RECORDING_HEADER_BYTES])
{
    header_of(out, 1);
}

/* Byte `at` of every test recording: what is lost or misplaced shows. */
static inline uint8_t sound_at(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static inline void sound_make(uint64_t from, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = sound_at(from + i);
}

static inline size_t file_read(const char *path, uint8_t *out, size_t size)
{
    char full[256];

    if (blob_full(folder, path, full, sizeof(full)))
        return 0;
    int fd = open(full, O_RDONLY);

    if (fd < 0)
        return 0;
    ssize_t n = read(fd, out, size);

    close(fd);
    return n < 0 ? 0 : (size_t)n;
}

static inline uint32_t u32_le(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A whole WAV of at least `least` bytes of the test's sound; returns how many there are. */
static inline uint32_t wav_check(const char *path, uint64_t least)
{
    static uint8_t wav[8 << 20];
    size_t len = file_read(path, wav, sizeof(wav));

    assert_true(len >= RECORDING_HEADER_BYTES);
    uint32_t sound = u32_le(wav + 40);

    assert_int_equal(len, RECORDING_HEADER_BYTES + sound);
    assert_int_equal(u32_le(wav + 4), sound + 36);
    assert_true(sound >= least);
    for (uint32_t i = 0; i < sound; i++)
        if (wav[RECORDING_HEADER_BYTES + i] != sound_at(i))
            fail_msg("%s: byte %u of the sound is wrong", path, i);
    return sound;
}

static inline struct recording_file *tail_new(const char *name, uint32_t slots)
{
    struct recording_file *f;
    char why[256];

    if (recording_file_open(journal_dir, name, 1, slots, &f, why, sizeof(why)))
        fail_msg("%s", why);
    return f;
}

/* What the recorder does with its writes. */
static inline void write_out(struct recording_shard *s, uint32_t h, int fd, bool all)
{
    struct recording_write w;

    while (recording_next(s, h, all, &w)) {
        ssize_t n = pwrite(fd, w.bytes.at, w.bytes.len, (off_t)w.offset);

        recording_written(s, h, n < 0 ? 0 : (size_t)n);
    }
}

static inline struct store *open_store(void)
{
    char why[256];
    struct store *s;

    if (store_open("sqlite:", folder, &s, why, sizeof(why)))
        fail_msg("%s", why);
    return s;
}

static inline void recover_once(struct recover_report *report)
{
    struct store *s = open_store();
    struct recover_options o = {.data_dir = folder, .store = s};

    assert_int_equal(recover_run(&o, report), 0);
    store_close(&s);
}

#endif
