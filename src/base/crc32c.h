/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): detects torn and stale records in files. A pure
 * function over a constant table; any thread. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/bytes.h"

/* Of the bytes, going on from `crc` (0 at first). */
uint32_t crc32c(uint32_t crc, struct slice bytes);

#endif
