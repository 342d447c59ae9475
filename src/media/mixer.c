#include "media/mixer.h"

void mixer_add(int16_t *out, const int16_t *a, const int16_t *b, size_t samples)
{
    for (size_t i = 0; i < samples; i++) {
        int sum = a[i] + b[i];
        out[i] = (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
    }
}

void mixer_interleave(int16_t *restrict out, const int16_t *restrict left,
                      const int16_t *restrict right, size_t samples)
{
    for (size_t i = 0; i < samples; i++) {
        out[2 * i] = left[i];
        out[2 * i + 1] = right[i];
    }
}
