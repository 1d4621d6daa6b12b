/* Transposes, sums and exponentials for one kind of processor: levels.h includes this file for each.

   LANES floats fill a register. */

typedef float ON(Lanes) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

typedef int32_t ON(Places) __attribute__((vector_size(4 * LANES)));

/* The places from `first` on, in order. Read from memory: compilers would put such a register together place by place. */
static inline ON(Places) ON(places_from)(int first)
{
    typedef int32_t Unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
    static const int32_t places[2 * LANES] = {
        0,  1,  2,  3,  4,  5,  6,  7,
#if LANES > 4
        8,  9,  10, 11, 12, 13, 14, 15,
#endif
#if LANES > 8
        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
#endif
    };
    return *(const Unaligned *)(places + first);
}

/* The numbers in these places of two registers, which are counted through. */
#ifdef __clang__ /* which knows constant places only; these become constant where loops are unrolled */
static inline ON(Lanes) ON(shuffled)(ON(Lanes) first, ON(Lanes) second, ON(Places) places)
{
    ON(Lanes) found;
    for (int i = 0; i < LANES; i++) found[i] = places[i] < LANES ? first[places[i]] : second[places[i] - LANES];
    return found;
}
#define SHUFFLED(first, second, places) ON(shuffled)(first, second, places)
#else
#define SHUFFLED(first, second, places) __builtin_shuffle(first, second, places)
#endif

/* `to` is the transpose of `from`, both [LANES, LANES] of 4 bytes each, in rows that lie so far apart. */
static inline void ON(turn)(void *to, long row_to, const void *from, long row_from)
{
    ON(Lanes) rows[LANES];
    for (int i = 0; i < LANES; i++) rows[i] = *(const ON(Lanes) *)((const float *)from + i * row_from);
#pragma GCC unroll 4
    for (int step = LANES / 2; step; step /= 2) {
        /* What two rows become, of which the second is `step` below: every other `step` places are from the second. */
        ON(Places) place = ON(places_from)(0), above = place + (((place & step) != 0) & (LANES - step)), below = above + step;
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & step)) {
                ON(Lanes) first = rows[i], second = rows[i + step];
                rows[i] = SHUFFLED(first, second, above);
                rows[i + step] = SHUFFLED(first, second, below);
            }
    }
    for (int i = 0; i < LANES; i++) *(ON(Lanes) *)((float *)to + i * row_to) = rows[i];
}

/* e^x, between -87 and 87: 2^n e^r with a polynomial for e^r (coefficients: Cephes' expf). */
static inline float ON(exponential)(float x)
{
    float y = fabsf(x) > 87 ? copysignf(87, x) : x; /* one comparison */
    float n = rintf(y * 1.44269504f), r = y - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    union { uint32_t bits; float value; } power = {(uint32_t)((int32_t)n + 127) << 23};
    return (p * r * r + r + 1) * power.value;
}

/* The sum of the numbers in a register: its halves meet, until there is one. */
static inline float ON(total)(ON(Lanes) x)
{
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2) x += SHUFFLED(x, x, ON(places_from)(half));
    return x[0];
}

/* Of n numbers. In two registers or more, because operations in turn would wait for each other. */
static inline float ON(largest)(const float *x, long n)
{
    float columns[SUMS], most = -INFINITY;
    for (int j = 0; j < SUMS; j++) columns[j] = -INFINITY;
    long k = 0;
    for (; k + SUMS <= n; k += SUMS)
        for (int j = 0; j < SUMS; j++) columns[j] = x[k + j] > columns[j] ? x[k + j] : columns[j];
    for (; k < n; k++) most = x[k] > most ? x[k] : most;
#pragma GCC unroll 8
    for (int half = SUMS / 2; half; half /= 2)
        for (int j = 0; j < half; j++) columns[j] = columns[j + half] > columns[j] ? columns[j + half] : columns[j];
    return columns[0] > most ? columns[0] : most;
}

static inline float ON(sum)(const float *x, long n)
{
    ON(Lanes) sums[2] = {0};
    long k = 0;
    for (; k + 2 * LANES <= n; k += 2 * LANES)
        for (int i = 0; i < 2; i++) sums[i] += *(const ON(Lanes) *)(x + k + i * LANES);
    float all = ON(total)(sums[0] + sums[1]);
    for (; k < n; k++) all += x[k];
    return all;
}

static inline float ON(dot)(const float *x, const float *y, long n)
{
    ON(Lanes) sums[2] = {0};
    long k = 0;
    for (; k + 2 * LANES <= n; k += 2 * LANES)
        for (int i = 0; i < 2; i++)
            sums[i] += *(const ON(Lanes) *)(x + k + i * LANES) * *(const ON(Lanes) *)(y + k + i * LANES);
    float all = ON(total)(sums[0] + sums[1]);
    for (; k < n; k++) all += x[k] * y[k];
    return all;
}
