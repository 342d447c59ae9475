/* Which vector instructions the media code may use here. One question with one answer, asked by
 * every function that has a fast path; it reads what the compiler's start-up code found out, so it
 * costs a load and a test and keeps no state of its own. Any thread.
 *
 * Every fast path has a plain twin in portable C that gives the same result (integers: bit for
 * bit); the tests run both. */
#ifndef MEDIA_CPU_H
#define MEDIA_CPU_H

#include <stdbool.h>

#if defined(__x86_64__)
#define MEDIA_X86         1
#define MEDIA_TARGET      __attribute__((target("avx2,fma,bmi,bmi2,lzcnt")))
#define MEDIA_TARGET_WIDE __attribute__((target("avx2,fma,bmi,bmi2,lzcnt,avx512f")))
#else
#define MEDIA_X86 0
#define MEDIA_TARGET
#define MEDIA_TARGET_WIDE
#endif

#define MEDIA_INLINE static inline __attribute__((always_inline))

/* AVX2, FMA and BMI2: what x86-64-v3 means for the code in this folder. */
static inline bool media_fast(void)
{
#if MEDIA_X86
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* Of code that comes in more forms than two: each holds what those before it do. */
enum media_code { MEDIA_PLAIN, MEDIA_AVX2, MEDIA_AVX512 };

/* The last of them that this machine knows. */
static inline enum media_code media_best(void)
{
#if MEDIA_X86
    if (media_fast())
        return __builtin_cpu_supports("avx512f") ? MEDIA_AVX512 : MEDIA_AVX2;
#endif
    return MEDIA_PLAIN;
}

#endif
