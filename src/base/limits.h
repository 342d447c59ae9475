/* Every limit of the product, in one table: what it bounds, and what happens at the bound. Each
 * has a test at the limit and one beyond it. Constants only. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* ---- structure ---- */
#define SHARDS_MAX       64  /* hosts of actors: shards, control, lanes; boot refuses more */
#define FRAME_DATA_BYTES 960 /* 20 ms of 24 kHz PCM16, or one packet, or a piece of text */
#define MSG_BODY_BYTES   96  /* longer things travel as a chain of frames */
#define TICK_NS          2000000
#define SLOTS_PER_FRAME  10 /* calls are spread over ten 2 ms slots of the 20 ms period */

/* ---- queues ---- */
#define LOCAL_QUEUE_MAX     16384  /* messages waiting inside a shard; full: the sender is told */
#define RING_BYTES          16384  /* one way of a mailbox; full: outbox, then the call ends */
#define OUTBOX_MAX          64     /* control messages of one host waiting for a ring to drain */
#define LOG_RING_BYTES      262144 /* per thread; full: the line is dropped and counted */
#define LOG_THREADS_MAX     128    /* threads with a ring; lines of others are dropped, counted */
#define METRICS_THREADS_MAX 128    /* threads that count something; one more is a wrong runtime */
#define LOG_LINE_MAX        2048   /* longer lines are cut, marked "cut":true */

/* ---- unauthenticated peers ---- */
#define PEER_UNKNOWN_NS        5000000000 /* who has not said who it is by then is closed */
#define PEER_UNKNOWN_BYTES_MAX 65536      /* all memory such a peer can cost: compiled in */
#define HTTP_HEAD_BYTES_MAX    8192       /* request line and headers; beyond: 431 */
#define HTTP_HEADERS_MAX       64         /* beyond: 431 */
#define HTTP_BODY_BYTES_MAX    65536      /* carrier form bodies; beyond: 413 */
#define WEBHOOK_BODY_BYTES_MAX 16384      /* of a carrier's request; beyond: 413 */
#define HTTP_ARGS_MAX          128        /* arguments of one query or form; beyond: -E2BIG */

/* ---- media sockets ---- */
#define WS_MESSAGE_BYTES_MAX 65536 /* a media message; beyond: close 1009 */
#define WS_SEND_QUEUE_MAX    64  /* frames waiting in one socket; beyond: the slow peer is closed */
#define CARRIER_ID_BYTES     80  /* stream, call, account ids with NUL; longer: the call ends */
#define CARRIER_TOKEN_BYTES  512 /* media token with NUL; longer: the call ends */
#define CARRIER_MARK_BYTES   128 /* mark names with NUL; longer: the call ends */
#define RTP_PACKET_BYTES_MAX 1500
#define DTMF_DIGITS          "0123456789*#ABCD" /* in the order of their events (RFC 4733) */
#define DTMF_DIGITS_MAX      32 /* waiting digits of one call; beyond: newest dropped */

/* ---- text ---- */
#define NAME_MAX_BYTES      100  /* agent, voice, provider names */
#define TURN_TEXT_BYTES_MAX 2048 /* heard or said in one turn; beyond: cut at a character */
#define ANSWER_NAME_BYTES   40   /* name of an expected answer with NUL; longer: none is expected */
#define JSON_DEPTH_MAX      16
#define CONFIG_BYTES_MAX    1048576

/* ---- files that people write ---- */
#define YAML_DEPTH_MAX  8     /* blocks within blocks; beyond: refused */
#define YAML_NODES_MAX  4096  /* values in one file; beyond: refused */
#define YAML_KEYS_MAX   256   /* keys of one block; beyond: refused */
#define YAML_KEY_BYTES  64    /* longer keys are refused */
#define YAML_SCALAR_MAX 65536 /* bytes of one value after ${} is replaced; beyond: refused */
#define AGENTS_MAX      1024  /* files; more are refused */

/* ---- records ---- */
#define JOURNAL_PAYLOAD_MAX      16384    /* one record; longer ones are refused */
#define JOURNAL_CALLS_MAX        4096     /* of one shard, a power of two; beyond: -ENOSPC */
#define JOURNAL_CALL_BYTES_MAX   1048576  /* records of one call; beyond: -ENOSPC but for its end */
#define JOURNAL_CALL_SHARE       65536    /* of a region sized by calls_max: for each call */
#define JOURNAL_DEFAULT_LEAST    4194304  /* such a region is no smaller */
#define RECORDING_CHUNK_BYTES    16384    /* one write: 0.5 s of 16 kHz mono */
#define RECORDING_RING_BYTES     65536    /* waiting sound; beyond: newest dropped */
#define RECORDING_WINDOW_SAMPLES 6400     /* of each side: later sound is left out */
#define STORE_ID_BYTES           200      /* longer ids and tenants: -EINVAL */
#define STORE_DOC_BYTES          16777216 /* larger documents: -EMSGSIZE */
#define STORE_LIST_MAX           1000     /* documents of one page */

#endif
