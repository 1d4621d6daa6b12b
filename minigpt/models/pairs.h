/* Matrix products in bfloat16, with sums in float32: levels.h includes this file for processors that have them.

   These (AVX-512 with BF16) multiply in pairs: a pair holds what two k in turn contribute, so a register holds LANES
   pairs, and the sums grow as in floats.h. The matrices are float32 in memory and rounded as they are packed. */

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

/* The n numbers of two rows, those below each other in pairs; without a second row, with zeros. */
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

/* b [K, N] in panels of COLUMNS columns, each contiguous, filled up with zeros. */
static void ON(pack_pairs)(uint32_t *restrict to, const float *restrict b, long down, long across, long K, long N)
{
    uint32_t rows[LANES * LANES] = {0};
    long pairs = (K + 1) / 2, whole = N / ON(COLUMNS) * ON(COLUMNS);
    if (whole < N) memset(to + whole * pairs, 0, pairs * ON(COLUMNS) * sizeof *to);
    if (across == 1)
        for (long k = 0; k < pairs; k++) {
            const float *row = b + 2 * k * down, *next = 2 * k + 1 < K ? row + down : NULL;
            for (long n = 0; n < N; n += ON(COLUMNS))
                ON(between)(to + n * pairs + k * ON(COLUMNS), row + n, next ? next + n : NULL,
                            N - n < ON(COLUMNS) ? N - n : ON(COLUMNS));
        }
    else
        for (long n = 0; n < N; n += LANES)
            for (long k = 0; k < pairs; k += LANES) {
                uint32_t *place = to + n / ON(COLUMNS) * ON(COLUMNS) * pairs + k * ON(COLUMNS) + n % ON(COLUMNS);
                for (long j = 0; j < LANES && n + j < N; j++)
                    ON(along)(rows + j * LANES, b + 2 * k + (n + j) * across, K - 2 * k < 2 * LANES ? K - 2 * k : 2 * LANES);
                if (pairs - k >= LANES) ON(turn)(place, ON(COLUMNS), rows, LANES);
                else
                    for (long i = 0; i < pairs - k; i++)
                        for (long j = 0; j < LANES; j++) place[i * ON(COLUMNS) + j] = rows[j * LANES + i];
            }
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
            ON(pack_pairs)(right, b.at + k * b.down + n * b.across, b.down, b.across, deep, wide);
            for (long m = 0; m < M && (!symmetric || m < n + wide); m += TALL) {
                long tall = M - m < TALL ? M - m : TALL, upright = a.across == 1;
                const float *from = a.at + m * a.down + k * a.across;
                for (long i = 0; upright && i < tall; i++) ON(along)(left + i * pairs, from + i * a.down, deep);
                for (long i = 0; !upright && i < deep; i += 2, from += 2 * a.across)
                    ON(between)(left + i / 2 * TALL, from, i + 1 < deep ? from + a.across : NULL, tall);
                ON(tiles_of_pairs)(tall, wide, pairs, left, upright ? pairs : 1, upright ? 1 : TALL, right,
                                   ON(COLUMNS), pairs * ON(COLUMNS), c + m * row_c + n, row_c, add || k, symmetric ? n - m : M);
            }
        }
}
