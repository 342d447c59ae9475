/* sidetone-say: writes one caller sentence as a telephone would carry it, and prints where in the
 * file the voice begins and ends. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/say/caller.h"

static const char usage[] =
    "usage: sidetone-say --voice rms|awb|kal16|kal|slt --text TEXT --out FILE.wav\n"
    "                    [--noise-db 20] [--seed 1] [--rate 8000] [--speed 1.0]\n"
    "                    [--lead-ms 300] [--tail-ms 300]\n"
    "--noise-db 100 means no noise. Prints one JSON object: samples, first_voiced, last_voiced\n"
    "(sample numbers, found before noise was added), rate_hz, voice, seed.\n";

static int wav_write(const char *path, const struct caller_audio *a)
{
    uint8_t head[44];
    struct builder b = builder_of(head, sizeof(head));
    uint32_t bytes = (uint32_t)(a->count * sizeof(int16_t));
    builder_str(&b, "RIFF");
    builder_u32_le(&b, bytes + 36);
    builder_str(&b, "WAVEfmt ");
    builder_u32_le(&b, 16);
    builder_u16_le(&b, 1);
    builder_u16_le(&b, 1);
    builder_u32_le(&b, 8000);
    builder_u32_le(&b, 16000);
    builder_u16_le(&b, 2);
    builder_u16_le(&b, 16);
    builder_str(&b, "data");
    builder_u32_le(&b, bytes);
    FILE *file = fopen(path, "we");
    if (!file)
        return -errno;
    bool bad = fwrite(head, 1, sizeof(head), file) != sizeof(head) ||
               fwrite(a->pcm, sizeof(int16_t), a->count, file) != a->count;
    return fclose(file) || bad ? -EIO : 0;
}

struct options {
    struct caller_request request;
    const char *out;
    long rate_hz;
};

static bool options_read(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"voice", 1, 0, 'v'},   {"text", 1, 0, 't'},
                                          {"out", 1, 0, 'o'},     {"noise-db", 1, 0, 'n'},
                                          {"seed", 1, 0, 's'},    {"rate", 1, 0, 'r'},
                                          {"speed", 1, 0, 'p'},   {"lead-ms", 1, 0, 'l'},
                                          {"tail-ms", 1, 0, 'e'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'v')
            o->request.voice = optarg;
        else if (c == 't')
            o->request.text = optarg;
        else if (c == 'o')
            o->out = optarg;
        else if (c == 'n')
            o->request.noise_db = atof(optarg);
        else if (c == 's')
            o->request.seed = strtoull(optarg, NULL, 10);
        else if (c == 'r')
            o->rate_hz = atol(optarg);
        else if (c == 'p')
            o->request.speed = atof(optarg);
        else if (c == 'l')
            o->request.lead_ms = atoi(optarg);
        else if (c == 'e')
            o->request.tail_ms = atoi(optarg);
        else
            return false;
    }
    const struct caller_request *q = &o->request;
    return q->voice && q->text && o->out && o->rate_hz == 8000 && q->lead_ms >= 0 &&
           q->lead_ms <= 60000 && q->tail_ms >= 0 && q->tail_ms <= 60000 && q->speed >= 0.5 &&
           q->speed <= 2.0;
}

int main(int argc, char **argv)
{
    struct options o = {
        {.noise_db = 20, .speed = 1.0, .seed = 1, .lead_ms = 300, .tail_ms = 300}, NULL, 8000};
    struct caller_audio a;
    if (!options_read(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    int err = caller_speak(&o.request, &a);
    if (!err)
        err = wav_write(o.out, &a);
    if (err) {
        fprintf(stderr, "sidetone-say: %s: %s\n", err == -EINVAL ? o.request.voice : o.out,
                err == -EINVAL ? "no such voice" : strerror(-err));
        return 1;
    }
    printf("{\"samples\":%zu,\"first_voiced\":%zu,\"last_voiced\":%zu,\"rate_hz\":8000,"
           "\"voice\":\"%s\",\"seed\":%llu}\n",
           a.count, a.first, a.last, o.request.voice, (unsigned long long)o.request.seed);
    free(a.pcm);
    return 0;
}
