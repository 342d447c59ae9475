/* Marks memory of our own pools as not to be touched, so that AddressSanitizer sees in a pool what
 * it sees on the heap; nothing at all in a build without it. For the pools of base and runtime; it
 * owns nothing. */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(at, len)   ASAN_POISON_MEMORY_REGION(at, len)
#define UNPOISON(at, len) ASAN_UNPOISON_MEMORY_REGION(at, len)
#define POISON_WORKS      1
#else
#define POISON(at, len)   ((void)(at), (void)(len))
#define UNPOISON(at, len) ((void)(at), (void)(len))
#define POISON_WORKS      0
#endif

#endif
