/* Records a call as it happens: caller and agent are laid onto one timeline, the leg's sample
 * clock, in the window of the recording's crash-safe slot; what has left the window is final, and
 * goes to the file in large writes. Child of the call.
 *
 *   AUDIO, AUDIO_OUT ─▶ slot: window ─▶ ring (mixed or side by side) ─▶ WAV
 *
 * The window is what lets an interruption take back audio that was sent and never heard. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "actors/call/recording_format.h"
#include "actors/messages.h"
#include "base/metrics.h"
#include "media/resample.h"
#include "media/wav.h"
#include "store/blob_file.h"
#include "store/recording.h"

#define FLUSH_TAG    1u
#define LATENESS_MS  240 /* audio older than this is final: the leg's lead and jitter are less */
#define FLUSH_NS     MS(20)
#define PART_SAMPLES 320

struct recorder {
    struct actor actor;
    struct recorder_format format;
    struct resample resample[2];
    uint32_t rate_in_hz[2];
    int64_t begun_ns;
    io_id file;
    bool open;       /* the file is: writes may go out */
    bool writing;    /* one is out */
    bool ending;     /* header and end are to be written */
    uint32_t headed; /* bytes of the final header that are in the file */
    uint32_t handle;
    bool begun;
    int32_t err;
    uint8_t header[RECORDING_HEADER_BYTES];
    struct actor_timer timer;
    char path[512];
};

static struct recording_shard *slots(struct recorder *r)
{
    return recording_shard(world_of(&r->actor)->recordings, shard_index(r->actor.shard));
}

/* ---- the window ---- */

/* Everything before `until` is final: it leaves the window. */
static void settle(struct recorder *r, int64_t until)
{
    int err = recording_settle(slots(r), r->handle, until);

    if (err && !r->err) {
        r->err = -err;
        log_error("recorder", NULL, "%s has a hole: the disk is slower than the sound", r->path);
    }
}

static int64_t timeline_now(const struct recorder *r)
{
    return (shard_now(r->actor.shard) - r->begun_ns) * r->format.rate_hz / NS_PER_S;
}

static void on_audio(struct recorder *r, enum recording_side side, const struct msg *m)
{
    struct frame *f = frame_at(shard_pool(r->actor.shard), m->frame);
    const int16_t *pcm = frame_pcm(f);
    size_t left = f->len / sizeof(int16_t);
    int64_t at = f->sample * r->format.rate_hz / f->rate_hz;
    int16_t out[PART_SAMPLES * 2];

    if (!r->begun)
        return;
    while (left) {
        size_t part = left < PART_SAMPLES ? left : PART_SAMPLES;
        size_t made = resample_run(&r->resample[side], out, pcm, part);
        recording_lay(slots(r), r->handle, side, at, out, made);
        at += (int64_t)made;
        pcm += part;
        left -= part;
    }
    /* What the caller has said has happened; what the agent sent is heard when its time comes. */
    recording_reach(slots(r), r->handle, side == RECORDING_CALLER ? at : timeline_now(r));
}

static void on_cut(struct recorder *r, int64_t sample)
{
    if (r->begun)
        recording_cut(slots(r), r->handle, RECORDING_AGENT,
                      sample * r->format.rate_hz / r->rate_in_hz[RECORDING_AGENT]);
}

/* ---- the file ---- */

static void end(struct recorder *r)
{
    bool bad = false;
    struct recorded_msg body = {.rate_hz = r->format.rate_hz, .err = r->err};

    if (r->begun) {
        body.bytes = (int64_t)recording_bytes(slots(r), r->handle, &bad);
        if (bad && !body.err)
            body.err = EIO;
        recording_end(slots(r), r->handle);
    }
    actor_timer_cancel(&r->actor, &r->timer);
    actor_io_close(&r->actor, &r->file, false);
    actor_send_body(&r->actor, r->actor.parent->id, RECORDED, IF_FULL_DROP, FRAME_NONE, &body,
                    sizeof(body));
    actor_end(&r->actor);
}

static void write_next(struct recorder *r)
{
    struct io *io = shard_io(r->actor.shard);
    struct recording_write write;
    int err;

    if (!r->open || r->writing || !r->begun)
        return;
    if (recording_next(slots(r), r->handle, r->ending, &write)) {
        r->writing = true;
        err = io->ops->file_write(io, r->file, write.bytes, write.offset, 0);
    } else if (r->ending && r->headed < sizeof(r->header)) {
        r->writing = true;
        recording_header(slots(r), r->handle, r->header);
        err = io->ops->file_write(io, r->file,
                                  slice_of(r->header + r->headed, sizeof(r->header) - r->headed),
                                  r->headed, 1);
    } else {
        if (r->ending)
            end(r);
        return;
    }
    if (err) {
        r->writing = false;
        r->err = -err;
        actor_stop_self(&r->actor, REASON(-err, "the recording cannot be written"));
    }
}

static void on_written(struct recorder *r, const struct io_msg *m)
{
    r->writing = false;
    if (m->err) {
        r->err = m->err;
        log_error("recorder", NULL, "%s cannot be written: %s", r->path, strerror(m->err));
    }
    if (!m->err)
        metrics_add(METRIC_RECORDING_BYTES, m->len);
    if (m->tag == 0)
        recording_written(slots(r), r->handle, m->err ? 0 : m->len);
    else if (!m->err)
        r->headed += m->len; /* the rest of a short write goes next */
    if (m->err) {
        /* Nothing more is written; what is there stays, and is never called whole. */
        r->open = false;
        if (r->ending)
            end(r);
        return;
    }
    write_next(r);
}

static void on_opened(struct recorder *r, const struct io_msg *m)
{
    if (m->err) {
        r->file = IO_NONE;
        r->err = m->err;
        log_error("recorder", NULL, "%s cannot be opened: %s", r->path, strerror(m->err));
        if (r->ending)
            end(r);
        return;
    }
    r->open = true;
    write_next(r);
}

/* ---- life ---- */

static void on_timer(struct recorder *r)
{
    int64_t now = timeline_now(r);

    recording_reach(slots(r), r->handle, now);
    settle(r, now - r->format.rate_hz * LATENESS_MS / 1000);
    write_next(r);
    actor_timer_set(&r->actor, &r->timer, FLUSH_TAG, shard_now(r->actor.shard) + FLUSH_NS);
}

static int open_slot(struct recorder *r, const char *call_id)
{
    const struct world *world = world_of(&r->actor);
    struct wav_format format = {.encoding = WAV_PCM16,
                                .channels = (uint16_t)r->format.channels,
                                .rate_hz = r->format.rate_hz};
    struct builder b = builder_of(r->header, sizeof(r->header));
    char path[BLOB_PATH_BYTES];
    int err = blob_path(BLOB_RECORDING, NULL, call_id, path, sizeof(path));

    if (err == 0)
        err = blob_full(world->data_dir, path, r->path, sizeof(r->path));
    if (err == 0)
        err = wav_build(&b, &format, 0);
    if (err == 0)
        err = recording_begin(slots(r), path, builder_slice(&b), &r->handle);
    if (err)
        return err;
    r->begun = true;
    return actor_file_open(&r->actor, r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600, &r->file);
}

static void start(struct recorder *r, const struct msg *m)
{
    const struct recorder_start_msg *args = msg_body(m, recorder_start_msg);
    int err;

    r->format = recorder_format_of(world_of(&r->actor), args->leg_rate_hz);
    r->rate_in_hz[RECORDING_CALLER] = args->in_rate_hz;
    r->rate_in_hz[RECORDING_AGENT] = args->leg_rate_hz;
    r->begun_ns = shard_now(r->actor.shard);
    err = resample_init(&r->resample[RECORDING_CALLER], args->in_rate_hz, r->format.rate_hz);
    if (err == 0)
        err = resample_init(&r->resample[RECORDING_AGENT], args->leg_rate_hz, r->format.rate_hz);
    if (err == 0)
        err = open_slot(r, args->call_id);
    if (err) {
        r->err = -err;
        actor_stop_self(&r->actor, REASON(-err, "the recording cannot begin"));
        return;
    }
    on_timer(r);
}

static void stop(struct recorder *r)
{
    r->ending = true;
    actor_timer_cancel(&r->actor, &r->timer);
    if (r->begun) {
        recording_reach(slots(r), r->handle, timeline_now(r));
        settle(r, recording_reached(slots(r), r->handle));
    }
    if (!r->begun || (r->err && !r->writing) || r->file == IO_NONE)
        end(r);
    else
        write_next(r);
}

static void recorder_handle(struct actor *a, const struct msg *m)
{
    struct recorder *r = container_of(a, struct recorder, actor);

    switch (m->type) {
    case MSG_START:
        start(r, m);
        break;
    case MSG_STOP:
        stop(r);
        break;
    case MSG_TIMER:
        on_timer(r);
        break;
    case MSG_FILE_OPENED:
        on_opened(r, msg_body(m, io_msg));
        break;
    case MSG_FILE_WRITTEN:
        on_written(r, msg_body(m, io_msg));
        break;
    case AUDIO:
        on_audio(r, RECORDING_CALLER, m);
        break;
    case AUDIO_OUT:
        on_audio(r, RECORDING_AGENT, m);
        break;
    case AUDIO_CUT:
        on_cut(r, msg_body(m, audio_msg)->sample);
        break;
    default:
        break;
    }
}

const struct actor_type recorder_type = {
    .name = "recorder", .size_bytes = sizeof(struct recorder), .handle = recorder_handle};
