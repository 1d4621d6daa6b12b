/* A GPT's forward pass, for one kind of processor: levels.h includes this file for each. */

#include "lanes.h"
#include "floats.h"
#include "vocabulary.h"

/* These are macros because GCC inlines no function into copies for other processors. */
#ifndef OF_float
#define OF_float(x) (x)
#define OF_bfloat16(x) (((union { uint32_t bits; float value; }){(uint32_t)(x) << 16}).value)
#endif

static void ON(exponentials)(float *restrict x, long n)
{
    for (long k = 0; k < n; k++) x[k] = ON(exponential)(x[k]);
}

/* In place. GELU: Hendrycks and Gimpel, 2016. GPT-2 computes it by tanh, and (1 + tanh v) / 2 is 1 / (1 + e^-2v). */
static void ON(activate)(float *restrict h, long n, long activation)
{
    switch (activation) {
    case GELU_NEW:
        for (long k = 0; k < n; k++)
            h[k] /= 1 + ON(exponential)(-1.5957691216f * (h[k] + 0.044715f * h[k] * h[k] * h[k]));
        break;
    case GELU:
        for (long k = 0; k < n; k++) h[k] *= 0.5f + 0.5f * erff(h[k] * 0.70710678f);
        break;
    case QUICK_GELU:
        for (long k = 0; k < n; k++) h[k] /= 1 + ON(exponential)(-1.702f * h[k]);
        break;
    case RELU:
        for (long k = 0; k < n; k++) h[k] = h[k] < 0 ? 0 : h[k];
        break;
    case SILU:
        for (long k = 0; k < n; k++) h[k] /= 1 + ON(exponential)(-h[k]);
        break;
    default:
        for (long k = 0; k < n; k++) h[k] = tanhf(h[k]);
    }
}

static void ON(embed)(float *restrict x, const Model *m, long token, long position)
{
    long C = m->C;
    const float *wte = (const float *)m->wte + token * C, *wpe = (const float *)m->wpe + position * C;
    const uint16_t *te = (const uint16_t *)m->wte + token * C, *pe = (const uint16_t *)m->wpe + position * C;
    if (m->embeddings == FLOAT)
        for (long k = 0; k < C; k++) x[k] = wte[k] + wpe[k];
    else
        for (long k = 0; k < C; k++) x[k] = OF_bfloat16(te[k]) + OF_bfloat16(pe[k]);
}

/* h = LayerNorm(x) of one token. Ba et al., "Layer Normalization", 2016. */
static void ON(normalise)(float *restrict h, const float *restrict x, Norm norm, long C, float epsilon)
{
    float mean = ON(sum)(x, C) / C;
    for (long k = 0; k < C; k++) h[k] = x[k] - mean;
    float factor = 1 / sqrtf(ON(dot)(h, h, C) / C + epsilon);
    for (long k = 0; k < C; k++) h[k] = h[k] * factor * norm.gain[k] + norm.shift[k];
}

/* The softmax of n scores without its division: returns the sum. */
static float ON(soften)(float *restrict scores, long n, float scale)
{
    for (long t = 0; t < n; t++) scores[t] *= scale;
    float most = ON(largest)(scores, n);
    for (long t = 0; t < n; t++) scores[t] -= most;
    ON(exponentials)(scores, n);
    return ON(sum)(scores, n);
}

/* Few tokens: N rows, of one sequence or of several.

   Each output of a product is computed in the same order for any N, so that some tokens together give the same bits as
   one after the other. */

/* y [out] (+)= x w for some rows of a float w [rows, out]. Of GROUP rows at a time, so that y is read and written less
   often, BESIDE columns each in turn: two lines of the cache, which memory serves faster than one. */
static void ON(rows)(float *restrict y, const float *restrict x, const float *restrict w, long rows, long out)
{
    typedef ON(Lanes) Lanes;
    enum { GROUP = LANES < 8 ? 4 : 8 }; /* the registers of small processors hold no more */
    long i = 0;
    for (; i + GROUP <= rows; i += GROUP) {
        const float *group = w + i * out;
        long j = 0;
        for (; j + BESIDE <= out; j += BESIDE) {
            Lanes sums[BESIDE / LANES];
            for (int k = 0; k < BESIDE / LANES; k++) sums[k] = *(const Lanes *)(y + j + k * LANES);
            for (int r = 0; r < GROUP; r++)
                for (int k = 0; k < BESIDE / LANES; k++)
                    sums[k] += x[i + r] * *(const Lanes *)(group + r * out + j + k * LANES);
            for (int k = 0; k < BESIDE / LANES; k++) *(Lanes *)(y + j + k * LANES) = sums[k];
        }
        for (; j < out; j++)
            for (int r = 0; r < GROUP; r++) y[j] += x[i + r] * group[r * out + j];
    }
    for (; i < rows; i++)
        for (long j = 0; j < out; j++) y[j] += x[i] * w[i * out + j];
}

/* The same for N tokens, which share each row of w while it is in registers: y [N, out], x [N, row_x]. Some columns at a
   time, so that the sums of all tokens stay in the L1 cache. */
static void ON(shared_rows)(float *restrict y, const float *restrict x, long row_x, const float *restrict w, long rows,
                            long out, long N)
{
    typedef ON(Lanes) Lanes;
    for (long from = 0; from < out; from += COLUMNS_AT_ONCE) {
        long to = smaller(out, from + COLUMNS_AT_ONCE), i = 0;
        for (; i + 4 <= rows; i += 4) {
            long j = from;
            for (; j + 2 * LANES <= to; j += 2 * LANES) {
                const float *at = w + i * out + j;
                Lanes a = *(const Lanes *)at, b = *(const Lanes *)(at + out), c = *(const Lanes *)(at + 2 * out);
                Lanes d = *(const Lanes *)(at + 3 * out), e = *(const Lanes *)(at + LANES);
                Lanes f = *(const Lanes *)(at + out + LANES), g = *(const Lanes *)(at + 2 * out + LANES);
                Lanes h = *(const Lanes *)(at + 3 * out + LANES);
                for (long n = 0; n < N; n++) {
                    const float *in = x + n * row_x + i;
                    Lanes *sums = (Lanes *)(y + n * out + j), first = sums[0], second = sums[1];
                    first += in[0] * a, second += in[0] * e;
                    first += in[1] * b, second += in[1] * f;
                    first += in[2] * c, second += in[2] * g;
                    first += in[3] * d, second += in[3] * h;
                    sums[0] = first, sums[1] = second;
                }
            }
            for (; j < to; j++)
                for (long n = 0; n < N; n++)
                    for (int k = 0; k < 4; k++) y[n * out + j] += x[n * row_x + i + k] * w[(i + k) * out + j];
        }
        for (; i < rows; i++)
            for (long n = 0; n < N; n++)
                for (long j = from; j < to; j++) y[n * out + j] += x[n * row_x + i] * w[i * out + j];
    }
}

#ifndef DOTS
/* The o-th row of the first half, the o-th of the second, then the next of each. */
#define STREAMED(row, first, end)                                                                                      \
    for (long row, o = 0, half = (end - first + 1) / 2; o < 2 * half; o++)                                             \
        if ((row = first + o % 2 * half + o / 2) < end)

/* The products of `rows` rows of w, `apart` from each other, and `tokens` tokens, side by side: y [tokens, out] with the
   rows at y and y + apart, x [tokens, in]. */
#define DOT(type, name, rows, tokens)                                                                                  \
    static inline void ON(dot_##name##_##rows##tokens)(float *restrict y, long out, long apart,                        \
                                                       const float *restrict x, const type *restrict w, long in)       \
    {                                                                                                                  \
        float sums[rows * tokens][SUMMED] = {0};                                                                       \
        long k = 0;                                                                                                    \
        for (; k + SUMMED <= in; k += SUMMED)                                                                          \
            for (int i = 0; i < rows * tokens; i++)                                                                    \
                for (int j = 0; j < SUMMED; j++)                                                                       \
                    sums[i][j] += OF_##name(w[i % rows * apart * in + k + j]) * x[i / rows * in + k + j];              \
        for (int i = 0; i < rows * tokens; i++) {                                                                      \
            for (int j = 0; j < SUMMED / 2; j++) sums[i][j] += sums[i][j + SUMMED / 2];                                \
            for (int j = 0; j < SUMMED / 4; j++) sums[i][j] += sums[i][j + SUMMED / 4];                                \
            for (int j = 0; j < SUMMED / 8; j++) sums[i][j] += sums[i][j + SUMMED / 8];                                \
            float sum = (sums[i][0] + sums[i][1]) + (sums[i][2] + sums[i][3]);                                         \
            for (long l = k; l < in; l++) sum += OF_##name(w[i % rows * apart * in + l]) * x[i / rows * in + l];       \
            y[i / rows * out + i % rows * apart] = sum;                                                                \
        }                                                                                                              \
    }

/* The outputs from `first` to `end` of a w that lies as [out, in], in two streams, which memory serves faster than one or
   four: the o-th row of the first half beside the o-th of the second. */
#define DOTS(type, name)                                                                                               \
    DOT(type, name, 1, 1)                                                                                              \
    DOT(type, name, 2, 1)                                                                                              \
    DOT(type, name, 1, 2)                                                                                              \
    static void ON(dots_##name)(float *restrict y, long out, const float *restrict x, const type *restrict w, long in, \
                                long first, long end, long N)                                                          \
    {                                                                                                                  \
        long half = (end - first) / 2;                                                                                 \
        for (long row = first; row < first + half; row++) {                                                            \
            long n = 0;                                                                                                \
            for (; n + 2 <= N; n += 2)                                                                                 \
                for (long i = row; i <= row + half; i += half)                                                         \
                    ON(dot_##name##_12)(y + n * out + i, out, 0, x + n * in, w + i * in, in);                          \
            if (n < N) ON(dot_##name##_21)(y + n * out + row, out, half, x + n * in, w + row * in, in);                \
        }                                                                                                              \
        for (long row = first + 2 * half; row < end; row++)                                                            \
            for (long n = 0; n < N; n++) ON(dot_##name##_11)(y + n * out + row, out, 0, x + n * in, w + row * in, in); \
    }
#endif

DOTS(float, float)
DOTS(uint16_t, bfloat16)

/* For w in 8 bits, x is rounded to up to 16, into `whole` [N, in], few enough that a sum of products cannot overflow:
   sums of whole numbers take a third of the time. */
static void ON(dots_int8)(float *restrict y, long out, const float *restrict x, const int8_t *restrict w,
                          const float *restrict scale, int16_t *restrict whole, long in, long first, long end, long N)
{
    float most = 2147483647 / 127 / in, factor[FEW], damage[FEW]; /* not a number where x has none somewhere */
    most = most < 32767 ? most : 32767;
    for (long n = 0; n < N; n++) {
        const float *of = x + n * in;
        float largest = 1e-30f;
        damage[n] = 0;
        for (long k = 0; k < in; k++) damage[n] += 0 * of[k];
        for (long k = 0; k < in; k++) largest = fabsf(of[k]) > largest ? fabsf(of[k]) : largest;
        for (long k = 0; k < in; k++) whole[n * in + k] = (int16_t)rintf(of[k] * (most / largest));
        factor[n] = largest / most;
    }
    STREAMED(row, first, end)
    for (long n = 0; n < N; n++) {
        const int8_t *weights = w + row * in;
        const int16_t *of = whole + n * in;
        int32_t sum = 0;
        for (long k = 0; k < in; k++) sum += (int16_t)weights[k] * of[k];
        y[n * out + row] = sum * factor[n] * scale[row] + damage[n];
    }
}

static void ON(dots)(float *y, long out, const float *x, Weights w, long type, int16_t *whole, long in, long first,
                     long end, long N)
{
    if (type == FLOAT) ON(dots_float)(y, out, x, w.weight, in, first, end, N);
    if (type == BFLOAT16) ON(dots_bfloat16)(y, out, x, w.weight, in, first, end, N);
    if (type == INT8) ON(dots_int8)(y, out, x, w.weight, w.scale, whole, in, first, end, N);
}

/* This thread's part of x w. y holds the sums [slices, N, out] of the slices, which are yet to be added, or one [N, out].
   */
static void ON(few_product)(float *y, const float *x, Weights w, long type, int16_t *whole, long in, long out, long N,
                            Thread me)
{
    if (type != FLOAT) {
        ON(dots)(y, out, x, w, type, whole, in, part(out, me, 0), part(out, me, 1), N);
        return;
    }
    for (long s = own_slices(in, me, 0); s < own_slices(in, me, 1); s++) {
        long first = slice_start(in, s), rows = slice_start(in, s + 1) - first;
        const float *weights = (const float *)w.weight + first * out;
        float *sums = y + s * N * out;
        memset(sums, 0, N * out * sizeof *y);
        if (N == 1) ON(rows)(sums, x + first, weights, rows, out);
        else ON(shared_rows)(sums, x + first, in, weights, rows, out, N);
    }
}

/* What few_product left, added up, with the bias: the outputs from `first` to `end`, into `to` or onto it. */
static void ON(finish)(float *restrict to, const float *restrict y, const float *restrict bias, long type, long in,
                       long out, long first, long end, int onto, long N)
{
    long count = type == FLOAT ? slices(in) : 1;
    for (long n = 0; n < N; n++) {
        float *row = to + n * out;
        const float *sums = y + n * out;
        for (long o = first; o < end; o++) {
            float sum = bias ? sums[o] + bias[o] : sums[o];
            row[o] = onto ? row[o] + sum : sum;
        }
        for (long s = 1; s < count; s++)
            for (long o = first; o < end; o++) row[o] += sums[s * N * out + o];
    }
}

/* y [padded n] = x [K] w, for the first n columns of w, whose rows are `row` apart and can be read in whole PADs. */
static void ON(across)(float *restrict y, const float *restrict x, const float *restrict w, long K, long row, long n)
{
    typedef ON(Lanes) Lanes;
    for (long j = 0; j < n; j += 4 * LANES) {
        Lanes a = {0}, b = {0}, c = {0}, d = {0};
        const float *from = w + j;
        for (long k = 0; k < K; k++, from += row) {
            a += x[k] * *(const Lanes *)from;
            b += x[k] * *(const Lanes *)(from + LANES);
            c += x[k] * *(const Lanes *)(from + 2 * LANES);
            d += x[k] * *(const Lanes *)(from + 3 * LANES);
        }
        *(Lanes *)(y + j) = a, *(Lanes *)(y + j + LANES) = b;
        *(Lanes *)(y + j + 2 * LANES) = c, *(Lanes *)(y + j + 3 * LANES) = d;
    }
}

/* The new keys and values of one head, from qkv [3, H, D] of a token, go into the cache. */
static void ON(remember)(float *keys, float *values, const float *qkv, long C, long D, long row, long position)
{
    for (long d = 0; d < D; d++) keys[d * row + position] = qkv[C + d];
    memcpy(values + position * D, qkv + 2 * C, D * sizeof *values);
}

/* One head of one token: y [D], the values mixed in the shares that the query gives to the n keys. `shares`: [padded T],
   and [padded D] behind it. */
static void ON(attend)(float *restrict y, const float *q, const float *keys, const float *values, float *restrict shares,
                       long D, long T, long n)
{
    float *mixed = shares + padded(T);
    ON(across)(shares, q, keys, D, padded(T), n);
    float sum = ON(soften)(shares, n, 1 / sqrtf(D));
    ON(across)(mixed, shares, values, n, D, D);
    for (long d = 0; d < D; d++) y[d] = mixed[d] / sum;
}

static double ON(nats_of)(float *restrict logits, long target, long V)
{
    float most = ON(largest)(logits, V), of_target = logits[target] - most;
    for (long k = 0; k < V; k++) logits[k] = ON(exponential)(logits[k] - most);
    return log(ON(sum)(logits, V)) - of_target;
}

/* The nats of some targets, or of none where there is none; `logits` are used up. */
static void ON(count_nats)(const Pass *p, float *logits, long first, long end, long rows_before)
{
    long V = p->model->V;
    for (long n = first; n < end; n++)
        p->nats[n] = p->targets[n] < 0 ? 0 : ON(nats_of)(logits + (n - rows_before) * V, p->targets[n], V);
}

static void ON(pass_over_few)(const Pass *p, Thread me)
{
    const Model *m = p->model;
    long C = m->C, I = m->I, H = m->H, D = C / H, T = m->T, N = p->sequences * p->count, row = padded(T);
    long type = m->matrices;
    FewBuffers b;
    divide_few(p, me.number, &b);
    float *x = b.x, *h = b.h;
    int16_t *whole = (int16_t *)b.whole;

    for (long n = 0; n < N; n++) ON(embed)(x + n * C, m, p->ids[n], p->position + n % p->count);
    for (long l = 0; l < m->layers; l++) {
        const Block *block = &m->blocks[l];
        for (long n = 0; n < N; n++) ON(normalise)(h + n * C, x + n * C, block->ln_1, C, m->epsilon);
        ON(few_product)(b.sums_qkv, h, block->qkv, type, whole, C, 3 * C, N, me);
        meet(me);
        for (long head = H * me.number / me.count; head < H * (me.number + 1) / me.count; head++) {
            for (int i = 0; i < 3; i++)
                ON(finish)(b.qkv, b.sums_qkv, block->qkv.bias, type, C, 3 * C, i * C + head * D, i * C + head * D + D, 0, N);
            for (long n = 0; n < N; n++) { /* in the order of a text */
                float *keys = cached(p->cache->keys, p, l, n / p->count, head, D * row);
                float *values = cached(p->cache->values, p, l, n / p->count, head, T * D);
                long position = p->position + n % p->count;
                ON(remember)(keys, values, b.qkv + n * 3 * C + head * D, C, D, row, position);
                ON(attend)(b.mixed + n * C + head * D, b.qkv + n * 3 * C + head * D, keys, values, b.shares, D, T, position + 1);
            }
        }
        if (type != FLOAT || H % me.count || slices(C) % me.count) { /* else it needs the outputs of its own heads only */
            meet(me);
        }
        ON(few_product)(b.sums_projection, b.mixed, block->projection, type, whole, C, C, N, me);
        meet(me);
        ON(finish)(x, b.sums_projection, block->projection.bias, type, C, C, 0, C, 1, N);
        for (long n = 0; n < N; n++) ON(normalise)(h + n * C, x + n * C, block->ln_2, C, m->epsilon);
        ON(few_product)(b.sums_inside, h, block->inside, type, whole, C, I, N, me);
        meet(me);
        long first = type == FLOAT ? slice_start(I, own_slices(I, me, 0)) : part(I, me, 0);
        long end = type == FLOAT ? slice_start(I, own_slices(I, me, 1)) : part(I, me, 1);
        ON(finish)(b.inner, b.sums_inside, block->inside.bias, type, C, I, first, end, 0, N);
        for (long n = 0; n < N; n++) ON(activate)(b.inner + n * I + first, end - first, m->activation);
        if (type != FLOAT) { /* else it needs its own slices only */
            meet(me);
        }
        ON(few_product)(b.sums_outside, b.inner, block->outside, type, whole, I, C, N, me);
        meet(me);
        ON(finish)(x, b.sums_outside, block->outside.bias, type, I, C, 0, C, 1, N);
    }
    long head = type == INT8 ? INT8 : m->embeddings, rows = N, first = part(m->V, me, 0), end = part(m->V, me, 1);
    if (p->logits && !p->every && p->count > 1) { /* the last row of each sequence */
        rows = p->sequences;
        for (long i = 0; i < rows; i++) memmove(x + i * C, x + ((i + 1) * p->count - 1) * C, C * sizeof *x);
    }
    if (!p->logits && !p->targets) return;
    for (long n = 0; n < rows; n++) ON(normalise)(h + n * C, x + n * C, m->ln_f, C, m->epsilon);
    float *logits = p->logits ? p->logits : b.logits;
    ON(dots)(logits, m->V, h, m->head, head, whole, C, first, end, rows);
    if (p->targets) {
        meet(me);
        ON(count_nats)(p, logits, N * me.number / me.count, N * (me.number + 1) / me.count, 0);
    }
}

/* Many tokens: N rows, of one sequence or of several. */

/* Some outputs and inputs of a w in fewer bits, [out, in], as floats: to [wide, deep]. */
static void ON(widen)(float *restrict to, Weights w, long type, long in, long n, long wide, long k, long deep)
{
    for (long o = 0; o < wide; o++, to += deep) {
        long at = (n + o) * in + k;
        if (type == BFLOAT16)
            for (long i = 0; i < deep; i++) to[i] = OF_bfloat16(((const uint16_t *)w.weight)[at + i]);
        if (type == INT8)
            for (long i = 0; i < deep; i++) to[i] = ((const int8_t *)w.weight)[at + i] * w.scale[n + o];
    }
}

/* The outputs from `first` to `end` of y [N, out] (+)= x [N, in] w + bias. `turned`: whether a float w lies as [out, in].
   `packed`: PACKED numbers, and DEEP x WIDE behind them. */
static void ON(many_product)(float *y, const float *x, Weights w, long type, int turned, long in, long out, long first,
                             long end, int add, long N, float *packed)
{
    const float *floats = (const float *)w.weight + first * (turned ? in : 1);
    float *widened = packed + PACKED;
    if (type == FLOAT)
        ON(product)(N, end - first, in, (Matrix){x, in, 1}, (Matrix){floats, turned ? 1 : out, turned ? in : 1}, y + first,
                     out, add, 0, packed);
    else
        for (long n = first; n < end; n += WIDE)
            for (long k = 0; k < in; k += DEEP) {
                long wide = smaller(WIDE, end - n), deep = smaller(DEEP, in - k);
                ON(widen)(widened, w, type, in, n, wide, k, deep);
                ON(product)(N, wide, deep, (Matrix){x + k, in, 1}, (Matrix){widened, 1, deep}, y + n, out, add || k, 0,
                             packed);
            }
    for (long n = 0; w.bias && n < N; n++)
        for (long o = first; o < end; o++) y[n * out + o] += w.bias[o];
}

/* c [M, N] (+)= a b, whose panels can be read as a whole. */
static void ON(small)(long M, long N, long K, Matrix a, const float *b, long row_b, float *c, long row_c)
{
    for (long k = 0; k < K; k += DEEP)
        ON(tiles)(M, N, smaller(DEEP, K - k), a.at + k * a.across, ROWS * a.down, a.down, a.across, b + k * row_b, row_b,
                  ON(COLUMNS), c, row_c, k > 0, M);
}

/* One head of one sequence: its part of mixed [count, C], from qkv [count, 3, H, D]. A block of queries at a time attends to
   the keys up to its last. */
static void ON(head_of_many)(const Pass *p, float *mixed, const float *qkv, float *keys, float *values, float *space)
{
    long C = p->model->C, D = C / p->model->H, T = padded(p->model->T), row = T + 16, wide = padded(D);
    float *scores = space, *q = scores + QUERIES * row, *found = q + QUERIES * wide;
    for (long t = 0; t < p->count; t++) ON(remember)(keys, values, qkv + t * 3 * C, C, D, T, p->position + t);
    for (long first = 0; first < p->count; first += QUERIES) {
        long some = smaller(QUERIES, p->count - first), end = p->position + first + some;
        for (long t = 0; t < some; t++) memcpy(q + t * D, qkv + (first + t) * 3 * C, D * sizeof *q);
        ON(small)(some, end, D, (Matrix){q, D, 1}, keys, T, scores, row);
        for (long t = 0; t < some; t++) {
            float *now = scores + t * row;
            long n = p->position + first + t + 1;
            float share = 1 / ON(soften)(now, n, 1 / sqrtf(D));
            for (long s = 0; s < n; s++) now[s] *= share;
            for (long s = n; s < end; s++) now[s] = 0;
        }
        ON(small)(some, D, end, (Matrix){scores, row, 1}, values, D, found, wide);
        for (long t = 0; t < some; t++) memcpy(mixed + (first + t) * C, found + t * wide, D * sizeof *mixed);
    }
}

/* What follows the last layer: the logits of some rows of the stream, and the nats of their targets. */
static void ON(predict)(const Pass *p, const ManyBuffers *b, Thread me)
{
    const Model *m = p->model;
    long C = m->C, V = m->V, all = p->every || p->targets, rows = all ? p->sequences * p->count : p->sequences;
    long apart = all ? 1 : p->count, step = p->targets ? QUERIES : rows, first = part(V, me, 0), end = part(V, me, 1);
    long type = m->matrices == INT8 ? INT8 : m->embeddings;
    for (long n = rows * me.number / me.count; n < rows * (me.number + 1) / me.count; n++)
        ON(normalise)(b->h + n * C, b->x + ((n + 1) * apart - 1) * C, m->ln_f, C, m->epsilon);
    for (long n = 0; n < rows; n += step) {
        long some = smaller(step, rows - n);
        float *logits = p->logits ? p->logits : b->logits;
        meet(me);
        if (some <= FEW) ON(dots)(logits, V, b->h + n * C, m->head, type, (int16_t *)b->whole, C, first, end, some);
        else ON(many_product)(logits, b->h + n * C, m->head, type, 1, C, V, first, end, 0, some, b->packed);
        if (p->targets) {
            meet(me);
            ON(count_nats)(p, logits, n + some * me.number / me.count, n + some * (me.number + 1) / me.count, n);
        }
    }
}

static void ON(pass_over_many)(const Pass *p, Thread me)
{
    const Model *m = p->model;
    long C = m->C, I = m->I, H = m->H, D = C / H, N = p->sequences * p->count, T = padded(m->T);
    long type = m->matrices, first = N * me.number / me.count, end = N * (me.number + 1) / me.count;
    ManyBuffers b;
    divide_many(p, me, &b);
    float *x = b.x, *h = b.h;

    for (long n = first; n < end; n++) ON(embed)(x + n * C, m, p->ids[n], p->position + n % p->count);
    for (long l = 0; l < m->layers; l++) {
        const Block *block = &m->blocks[l];
        for (long n = first; n < end; n++) ON(normalise)(h + n * C, x + n * C, block->ln_1, C, m->epsilon);
        meet(me);
        ON(many_product)(b.wide, h, block->qkv, type, 0, C, 3 * C, part(3 * C, me, 0), part(3 * C, me, 1), 0, N, b.packed);
        meet(me);
        for (long i = me.number; i < p->sequences * H; i += me.count) {
            long sequence = i / H, head = i % H, row = sequence * p->count;
            ON(head_of_many)(p, h + row * C + head * D, b.wide + row * 3 * C + head * D,
                             cached(p->cache->keys, p, l, sequence, head, D * T),
                             cached(p->cache->values, p, l, sequence, head, m->T * D), b.space);
        }
        meet(me);
        ON(many_product)(x, h, block->projection, type, 0, C, C, part(C, me, 0), part(C, me, 1), 1, N, b.packed);
        meet(me);
        for (long n = first; n < end; n++) ON(normalise)(h + n * C, x + n * C, block->ln_2, C, m->epsilon);
        meet(me);
        ON(many_product)(b.wide, h, block->inside, type, 0, C, I, part(I, me, 0), part(I, me, 1), 0, N, b.packed);
        for (long n = 0; n < N; n++)
            ON(activate)(b.wide + n * I + part(I, me, 0), part(I, me, 1) - part(I, me, 0), m->activation);
        meet(me);
        ON(many_product)(x, b.wide, block->outside, type, 0, I, C, part(C, me, 0), part(C, me, 1), 1, N, b.packed);
        meet(me);
    }
    if (p->logits || p->targets) ON(predict)(p, &b, me);
}
