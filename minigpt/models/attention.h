/* Causal self-attention, forward and backward, for one kind of processor: levels.h includes this file for each.

   The products of a head have sides of ON(Number): floats, or pairs of bfloat16 (pairs.h). A side is made of a matrix
   of floats, whose rows and columns are padded, with zeros where it ends. */

#ifndef PAIRS
typedef float ON(Number);

static inline long ON(inner)(long K) { return K; } /* how many numbers of a side K floats give */

/* The left side x [M, K]; in floats, x itself. */
static inline float *ON(left)(float *to, float *x, long row, long M, long K) { return (void)(to + row + M + K), x; }

/* The left side that is the transpose of x [K, M]. */
static inline float *ON(left_turned)(float *to, float *x, long row, long K, long M) { return (void)(to + row + K + M), x; }

/* The right side x [K, N]. */
static inline float *ON(right)(float *to, float *x, long K, long N) { return (void)(to + K + N), x; }

/* The right side that is the transpose of x [N, K], in rows `row` apart. */
static void ON(right_turned)(float *restrict to, long row, const float *restrict x, long N, long K)
{
    for (long n = 0; n < N; n += LANES)
        for (long k = 0; k < K; k += LANES) ON(turn)(to + k * row + n, row, x + n * K + k, K);
}

/* c [M, N] (+)= a [M, K] b [K, N], whose rows are whole panels. */
static void ON(small)(long M, long N, long K, const float *a, long down, long across, const float *b, long row_b, float *c,
                      long row_c, int add)
{
    for (long k = 0; k < K; k += DEEP)
        ON(tiles)(M, N, K - k < DEEP ? K - k : DEEP, a + k * across, ROWS * down, down, across, b + k * row_b, row_b,
                  ON(COLUMNS), c, row_c, add || k, M);
}
#else
typedef uint32_t ON(Number);

static inline long ON(inner)(long K) { return (K + 1) / 2; }

static uint32_t *ON(left)(uint32_t *to, const float *x, long row, long M, long K)
{
    for (long m = 0; m < M; m++) ON(along)(to + m * row, x + m * row, K);
    return to;
}

static uint32_t *ON(left_turned)(uint32_t *to, const float *x, long row, long K, long M)
{
    for (long k = 0; k < K; k += 2) ON(between)(to + k / 2 * row, x + k * row, k + 1 < K ? x + (k + 1) * row : NULL, M);
    return to;
}

static uint32_t *ON(right)(uint32_t *to, const float *x, long K, long N) { return ON(left_turned)(to, x, N, K, N); }

static void ON(right_turned)(uint32_t *restrict to, long row, const float *restrict x, long N, long K)
{
    uint32_t rows[LANES * LANES];
    for (long n = 0; n < N; n += LANES)
        for (long k = 0; k < K; k += 2 * LANES) {
            for (long j = 0; j < LANES; j++) ON(along)(rows + j * LANES, x + (n + j) * K + k, 2 * LANES);
            ON(turn)(to + k / 2 * row + n, row, rows, LANES);
        }
}

static void ON(small)(long M, long N, long K, const uint32_t *a, long down, long across, const uint32_t *b, long row_b,
                      float *c, long row_c, int add)
{
    ON(tiles_of_pairs)(M, N, ON(inner)(K), a, down, across, b, row_b, ON(COLUMNS), c, row_c, add, M);
}
#endif

/* One head's D columns of `rows` [T, across], with the bias added, times `scale`; filled up with zeros. */
static void ON(load)(float *restrict to, const float *restrict rows, const float *restrict bias, float scale,
                     long across, long T, long D)
{
    long wide = padded(D);
    for (long t = 0; t < T; t++, to += wide, rows += across) {
        for (long d = 0; d < D; d++) to[d] = (rows[d] + (bias ? bias[d] : 0)) * scale;
        for (long d = D; d < wide; d++) to[d] = 0;
    }
    memset(to, 0, (padded(T) - T) * wide * sizeof *to);
}

/* Rows of scores are filled up to blocks of SUMS, so that every loop over them runs through whole registers. */
#define EACH_BLOCK(from, to) for (long first = from; first < (to); first += SUMS)
#define EACH_OF_BLOCK(s) for (long s = first; s < first + SUMS; s++)

/* `others` in place of the scores from t + 1 on, in the block of t. */
static inline void ON(mask)(float *scores, long t, float others)
{
    long first = t / SUMS * SUMS;
    EACH_OF_BLOCK(s) scores[s] = s <= t ? scores[s] : others;
}

/* The softmax of the first t + 1 scores, with zeros behind it up to `end`; returns the logarithm of its denominator. */
static float ON(softmax)(float *scores, long t, long end)
{
    long whole = t / SUMS * SUMS + SUMS;
    ON(mask)(scores, t, -INFINITY);
    float most = ON(largest)(scores, whole);
    EACH_BLOCK(0, whole) EACH_OF_BLOCK(s) scores[s] = ON(exponential)(scores[s] - most);
    ON(mask)(scores, t, 0);
    float all = ON(sum)(scores, whole), share = 1 / all;
    EACH_BLOCK(0, whole) EACH_OF_BLOCK(s) scores[s] *= share;
    EACH_BLOCK(whole, end) EACH_OF_BLOCK(s) scores[s] = 0;
    return most + logf(all);
}

/* Its gradient, in place of the gradient of the weights: `scores` become the weights again. */
static void ON(softmax_backward)(float *restrict scores, float *restrict gradient, float log, long t, long end)
{
    long whole = t / SUMS * SUMS + SUMS;
    EACH_BLOCK(0, whole) EACH_OF_BLOCK(s) scores[s] = ON(exponential)(scores[s] - log);
    ON(mask)(scores, t, 0);
    float mean = ON(dot)(scores, gradient, whole);
    EACH_BLOCK(0, whole) EACH_OF_BLOCK(s) gradient[s] = scores[s] * (gradient[s] - mean);
    EACH_BLOCK(whole, end) EACH_OF_BLOCK(s) scores[s] = gradient[s] = 0;
}

/* Causal self-attention in each window: y [N, C], stored, from the queries, keys and values, qkv + bias [N, 3C]. `logs`
   [N, H] receives the logarithm of each softmax's denominator. A block of queries at a time attends to the keys up to its
   last, so the weights are never in memory as a whole. Vaswani et al., 2017; Dao et al., "FlashAttention", 2022. */
static void ON(attention)(ON(Stored) *restrict y, float *restrict logs, const float *restrict qkv,
                          const float *restrict bias, const Model *m, long N, float *space)
{
    long C = m->C, H = m->H, D = C / H, T = m->T, wide = padded(D), row = apart(padded(T)), part = row * wide;
    float *q = space, *v = q + part, *scores = v + part, *free = scores + BLOCK * row;
    ON(Number) *keys = (ON(Number) *)free, *queries = keys + part, *values = queries + part, *weights = values + part;
    if (C % 2) memset(y, 0, N * ON(stride)(C) * sizeof *y);
    for (long w = 0; w < N; w += T)
        for (long h = 0; h < H; h++) {
            const float *rows = qkv + w * 3 * C + h * D;
            ON(load)(v, rows + C, bias + C + h * D, 1, 3 * C, T, D);
            ON(right_turned)(keys, row, v, padded(T), wide);
            ON(load)(q, rows, bias + h * D, 1 / sqrtf(D), 3 * C, T, D);
            ON(load)(v, rows + 2 * C, bias + 2 * C + h * D, 1, 3 * C, T, D);
            queries = ON(left)(queries, q, wide, T, D);
            values = ON(right)(values, v, padded(T), wide);
            for (long first = 0; first < T; first += BLOCK) {
                long end = first + BLOCK < T ? first + BLOCK : T, some = end - first, seen = padded(end);
                ON(small)(some, seen, D, queries + first * wide, wide, 1, keys, row, scores, row, 0);
                for (long t = first; t < end; t++)
                    logs[(w + t) * H + h] = ON(softmax)(scores + (t - first) * row, t, end);
                weights = ON(left)(weights, scores, row, some, end);
                /* The queries of this block are not needed any more. */
                ON(small)(some, wide, end, weights, row, 1, values, wide, q + first * wide, wide, 0);
            }
            for (long t = 0; t < T; t++) ON(store_some)(y + (w + t) * ON(stride)(C) + h * D, q + t * wide, D);
        }
}

/* Backward through attention: dqkv [N, 3C], stored, from dy [N, C]; the sum of it is dbias. */
static void ON(attention_backward)(ON(Stored) *restrict dqkv, float *restrict dbias, const float *restrict dy,
                                   const float *restrict logs, const float *restrict qkv, const float *restrict bias,
                                   const Model *m, long N, float *space)
{
    long C = m->C, H = m->H, D = C / H, T = m->T, wide = padded(D), row = apart(padded(T)), part = row * wide;
    float *q = space, *k = q + part, *dout = k + part, *of[3] = {dout + part, dout + 2 * part, dout + 3 * part};
    float *scores = of[2] + part, *dscores = scores + BLOCK * row, *free = dscores + BLOCK * row;
    ON(Number) *keys_turned = (ON(Number) *)free, *values_turned = keys_turned + part, *queries = values_turned + part;
    ON(Number) *queries_right = queries + part, *keys = queries_right + part, *douts = keys + part;
    ON(Number) *douts_right = douts + part, *weights = douts_right + part, *dweights = weights + BLOCK * row;
    ON(Number) *dweights_turned = dweights + BLOCK * row;
    if (C % 2) memset(dqkv, 0, N * ON(stride)(3 * C) * sizeof *dqkv);
    for (long w = 0; w < N; w += T)
        for (long h = 0; h < H; h++) {
            const float *rows = qkv + w * 3 * C + h * D;
            ON(load)(k, rows + 2 * C, bias + 2 * C + h * D, 1, 3 * C, T, D);
            ON(right_turned)(values_turned, row, k, padded(T), wide);
            ON(load)(k, rows + C, bias + C + h * D, 1, 3 * C, T, D);
            ON(right_turned)(keys_turned, row, k, padded(T), wide);
            ON(load)(q, rows, bias + h * D, 1 / sqrtf(D), 3 * C, T, D);
            ON(load)(dout, dy + w * C + h * D, 0, 1, C, T, D);
            keys = ON(right)(keys, k, padded(T), wide);
            queries = ON(left)(queries, q, wide, T, D);
            douts = ON(left)(douts, dout, wide, T, D);
            memset(of[1], 0, 2 * part * sizeof *of[1]);
            for (long first = 0; first < T; first += BLOCK) {
                long end = first + BLOCK < T ? first + BLOCK : T, some = end - first, seen = padded(end);
                float *qs = q + first * wide, *ds = dout + first * wide;
                ON(small)(some, seen, D, queries + first * wide, wide, 1, keys_turned, row, scores, row, 0);
                ON(small)(some, seen, D, douts + first * wide, wide, 1, values_turned, row, dscores, row, 0);
                for (long t = first; t < end; t++)
                    ON(softmax_backward)(scores + (t - first) * row, dscores + (t - first) * row,
                                         logs[(w + t) * H + h], t, end);
                ON(small)(some, wide, end, ON(left)(dweights, dscores, row, some, end), row, 1, keys, wide,
                          of[0] + first * wide, wide, 0);
                ON(small)(end, wide, some, ON(left_turned)(dweights_turned, dscores, row, some, end), 1, row,
                          ON(right)(queries_right, qs, some, wide), wide, of[1], wide, 1);
                ON(small)(end, wide, some, ON(left_turned)(weights, scores, row, some, end), 1, row,
                          ON(right)(douts_right, ds, some, wide), wide, of[2], wide, 1);
            }
            for (int i = 0; i < 3; i++) {
                float scale = i ? 1 : 1 / sqrtf(D), *sums = dbias + i * C + h * D;
                for (long t = 0; t < T; t++) {
                    float *from = of[i] + t * wide;
                    for (long d = 0; d < D; d++) {
                        from[d] *= scale;
                        sums[d] += from[d];
                    }
                    ON(store_some)(dqkv + (w + t) * ON(stride)(3 * C) + i * C + h * D, from, D);
                }
            }
        }
}
