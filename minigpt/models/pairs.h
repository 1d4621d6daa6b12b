/* Matrix products in bfloat16, with sums in float32: levels.h includes this file for processors that have them.

   These (AVX-512 with BF16) multiply in pairs: a pair holds what two k in turn contribute, so a register holds LANES
   pairs, and the sums grow as in floats.h. Weights are float32 in memory and rounded as they are packed; what is stored
   by this file is rounded already, and its rows are whole pairs, with a zero at the end where one would be missing. */

typedef uint16_t ON(Stored);

static inline long ON(stride)(long n) { return (n + 1) / 2 * 2; }

enum { ON(COLUMNS) = 2 * LANES };

/* The first n of LANES numbers. */
static inline __mmask16 ON(first)(long n) { return n >= LANES ? 0xffff : n > 0 ? (1 << n) - 1 : 0; }

/* The n numbers of a row, rounded to the nearest, to even, those next to each other in pairs. `to` may be `row`. */
static inline void ON(along)(uint32_t *to, const float *row, long n)
{
    for (long k = 0; k < n; k += 2 * LANES) {
        __m512 low = _mm512_maskz_loadu_ps(ON(first)(n - k), row + k);
        __m512 high = _mm512_maskz_loadu_ps(ON(first)(n - k - LANES), row + k + LANES);
        _mm512_mask_storeu_epi32(to + k / 2, ON(first)((n - k + 1) / 2), (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

static inline float *ON(draft)(uint16_t *to, float *free) { return (void)to, free; }

/* A part of a row, n numbers. `to` may be where `row` is, or before it. */
static inline void ON(store_some)(uint16_t *to, const float *row, long n)
{
    for (long k = 0; k < n; k += LANES) {
        __m512 some = _mm512_maskz_loadu_ps(ON(first)(n - k), row + k);
        _mm256_mask_storeu_epi16(to + k, ON(first)(n - k), (__m256i)_mm512_cvtneps_pbh(some));
    }
}

static inline void ON(store)(uint16_t *to, const float *row, long n)
{
    ON(store_some)(to, row, n);
    if (n % 2) to[n] = 0;
}

/* LANES of n stored numbers, each in the lower half of 32 bits. */
static inline __m512i ON(halves)(const uint16_t *row, long n)
{
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(ON(first)(n), row));
}

static inline const float *ON(loaded)(float *free, const uint16_t *row, long n)
{
    for (long k = 0; k < n; k += LANES)
        _mm512_mask_storeu_epi32(free + k, ON(first)(n - k), _mm512_slli_epi32(ON(halves)(row + k, n - k), 16));
    return free;
}

/* The n numbers of two stored rows, those below each other in pairs; without a second row, with zeros. */
static inline void ON(between_stored)(uint32_t *restrict to, const uint16_t *row, const uint16_t *next, long n)
{
    for (long k = 0; k < n; k += LANES) {
        __m512i both = ON(halves)(row + k, n - k);
        if (next) both = _mm512_or_si512(both, _mm512_slli_epi32(ON(halves)(next + k, n - k), 16));
        _mm512_mask_storeu_epi32(to + k, ON(first)(n - k), both);
    }
}

/* The same of rows of floats. */
static inline void ON(between)(uint32_t *restrict to, const float *restrict row, const float *restrict next, long n)
{
    const __m512i woven = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (long k = 0; k < n; k += LANES) {
        __mmask16 there = ON(first)(n - k);
        __m512 low = _mm512_maskz_loadu_ps(there, row + k);
        __m512 high = next ? _mm512_maskz_loadu_ps(there, next + k) : _mm512_setzero_ps();
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        _mm512_mask_storeu_epi32(to + k, there, _mm512_permutexvar_epi16(woven, both));
    }
}

/* The part of a matrix from element (i, j) on. */
static inline Matrix ON(part)(Matrix a, long i, long j)
{
    a.at = (const char *)a.at + (i * a.down + j * a.across) * (a.stored ? sizeof(uint16_t) : sizeof(float));
    return a;
}

/* Lines k and k + 1 of n numbers each, those below each other in pairs; `last`: there is no line k + 1. */
static inline void ON(pair)(uint32_t *to, Matrix lines, long k, int last, long n)
{
    const void *line = ON(part)(lines, k, 0).at, *next = last ? NULL : ON(part)(lines, k + 1, 0).at;
    if (lines.stored) ON(between_stored)(to, line, next, n);
    else ON(between)(to, line, next, n);
}

/* b [K, N] in panels of COLUMNS columns, each contiguous, filled up with zeros. A transpose holds floats. */
static void ON(pack_pairs)(uint32_t *restrict to, Matrix b, long K, long N)
{
    uint32_t rows[LANES * LANES] = {0};
    long pairs = (K + 1) / 2, whole = N / ON(COLUMNS) * ON(COLUMNS);
    if (whole < N) memset(to + whole * pairs, 0, pairs * ON(COLUMNS) * sizeof *to);
    if (b.across == 1)
        for (long k = 0; k < pairs; k++)
            for (long n = 0; n < N; n += ON(COLUMNS))
                ON(pair)(to + n * pairs + k * ON(COLUMNS), ON(part)(b, 0, n), 2 * k, 2 * k + 1 == K,
                         N - n < ON(COLUMNS) ? N - n : ON(COLUMNS));
    else
        for (long n = 0; n < N; n += LANES)
            for (long k = 0; k < pairs; k += LANES) {
                uint32_t *place = to + n / ON(COLUMNS) * ON(COLUMNS) * pairs + k * ON(COLUMNS) + n % ON(COLUMNS);
                for (long j = 0; j < LANES && n + j < N; j++)
                    ON(along)(rows + j * LANES, ON(part)(b, 2 * k, n + j).at, K - 2 * k < 2 * LANES ? K - 2 * k : 2 * LANES);
                if (pairs - k >= LANES) ON(turn)(place, ON(COLUMNS), rows, LANES);
                else
                    for (long i = 0; i < pairs - k; i++)
                        for (long j = 0; j < LANES; j++) place[i * ON(COLUMNS) + j] = rows[j * LANES + i];
            }
}

/* a [M, K] as the left side of tiles_of_pairs, in memory of its own unless it can stay where it is. */
static const uint32_t *ON(left_of)(uint32_t *free, Matrix a, long M, long K, long *down, long *across)
{
    long pairs = (K + 1) / 2;
    *down = a.across != 1 ? 1 : a.stored ? a.down / 2 : pairs, *across = a.across != 1 ? TALL : 1;
    if (a.across == 1 && a.stored) return a.at;
    Matrix lines = {a.at, a.across, a.down, a.stored}; /* of the transpose */
    if (a.across == 1)
        for (long m = 0; m < M; m++) ON(along)(free + m * pairs, ON(part)(a, m, 0).at, K);
    else
        for (long k = 0; k < K; k += 2) ON(pair)(free + k / 2 * TALL, lines, k, k + 1 == K, M);
    return free;
}

/* c (+)= a b for ROWS rows and COLUMNS columns, as in floats.h. */
static void ON(tile_of_pairs)(long pairs, const uint32_t *restrict a, long down, long across,
                              const uint32_t *restrict b, long row_b, float *restrict c, long row_c, int add)
{
    __m512 sums[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++)
            sums[r][i] = add ? _mm512_loadu_ps(c + r * row_c + i * LANES) : _mm512_setzero_ps();
    const uint32_t *rows[ROWS / 3];
    for (int r = 0; r < ROWS / 3; r++) rows[r] = a + 3 * r * down;
    for (long k = 0; k < pairs; k++, b += row_b) {
        __m512bh first = (__m512bh)_mm512_loadu_si512(b), second = (__m512bh)_mm512_loadu_si512(b + LANES);
        for (int r = 0; r < ROWS; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)rows[r / 3][r % 3 * down]);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], first, x);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], second, x);
        }
        for (int r = 0; r < ROWS / 3; r++) rows[r] += across;
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++) _mm512_storeu_ps(c + r * row_c + i * LANES, sums[r][i]);
}

/* c [M, N] (+)= a b by tiles, as in floats.h; M <= TALL, and a can be read up to a multiple of ROWS. */
static void ON(tiles_of_pairs)(long M, long N, long pairs, const uint32_t *a, long down, long across, const uint32_t *b,
                               long row_b, long panel_b, float *c, long row_c, int add, long upper)
{
    float tile[ROWS * ON(COLUMNS)];
    for (long n = 0; n < N; n += ON(COLUMNS), b += panel_b)
        for (long m = 0; m < M && m < upper + n + ON(COLUMNS); m += ROWS) {
            long rows = M - m < ROWS ? M - m : ROWS, columns = N - n < ON(COLUMNS) ? N - n : ON(COLUMNS);
            const uint32_t *left = a + m * down;
            float *to = c + m * row_c + n;
            if (rows == ROWS && columns == ON(COLUMNS))
                ON(tile_of_pairs)(pairs, left, down, across, b, row_b, to, row_c, add);
            else {
                ON(tile_of_pairs)(pairs, left, down, across, b, row_b, tile, ON(COLUMNS), 0);
                for (long r = 0; r < rows; r++)
                    for (long j = 0; j < columns; j++)
                        to[r * row_c + j] = (add ? to[r * row_c + j] : 0) + tile[r * ON(COLUMNS) + j];
            }
        }
}

/* c [M, N] (+)= a [M, K] b [K, N], as in floats.h. */
static void ON(product)(long M, long N, long K, Matrix a, Matrix b, float *c, long row_c, int add, int symmetric,
                        float *restrict packed)
{
    uint32_t *right = (uint32_t *)packed, *left = right + DEEP * WIDE;
    for (long k = 0; k < K; k += 2 * DEEP)
        for (long n = 0; n < N; n += WIDE) {
            long deep = K - k < 2 * DEEP ? K - k : 2 * DEEP, wide = N - n < WIDE ? N - n : WIDE, pairs = (deep + 1) / 2;
            ON(pack_pairs)(right, ON(part)(b, k, n), deep, wide);
            for (long m = 0; m < M && (!symmetric || m < n + wide); m += TALL) {
                long tall = M - m < TALL ? M - m : TALL, down, across;
                const uint32_t *rows = ON(left_of)(left, ON(part)(a, m, k), tall, deep, &down, &across);
                ON(tiles_of_pairs)(tall, wide, pairs, rows, down, across, right, ON(COLUMNS), pairs * ON(COLUMNS),
                                   c + m * row_c + n, row_c, add || k, symmetric ? n - m : M);
            }
        }
}
