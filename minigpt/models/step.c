/* One token of a text through a GPT, with its cache, on the CPU: the whole step in one call. native.py fills in Model.

   A step reads every weight once, so it takes as long as that: each thread reads long stretches of memory from front
   to back, all threads stay together from the first layer to the last, and nothing is copied beforehand.

   Letters as in gpt.py: C width, H heads, D head width, I inside the MLP, V vocabulary, T context. Float matrices lie
   as [in, out], those of fewer bits, and the output head, as [out, in]. Widths are multiples of 16. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#endif

/* Compiled once for every processor; the copy for the one it runs on is chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__linux__) && __GNUC__ >= 12 && !defined(__clang__)
#define FAST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FAST
#endif

enum { FLOAT, BFLOAT16, INT8 };

/* A float matrix is read in slices of its rows, each with its own sum, however many threads there are: they all give
   the same bits. */
enum { SLICES = 4, LANES = 16, BLOCK = 256 };

typedef struct {
    const void *weight;
    const float *scale; /* [out], of INT8 */
    const float *bias;  /* [out], or none */
} Matrix;

typedef struct {
    const float *scale, *shift; /* [C] */
} Norm;

typedef struct {
    Norm before_attention;
    Matrix qkv, projection;
    Norm before_mlp;
    Matrix inside, outside;
    void *keys, *values; /* [H, T, D], in the type of wte */
} Layer;

typedef struct {
    long C, H, I, V, T, layers;
    long matrices, embeddings; /* their types */
    float epsilon;
    const void *wte, *wpe; /* [V, C], [T, C] */
    Norm last;
    Matrix head;
    float *work;
    const Layer *layer;
} Model;

typedef struct {
    long number, count; /* of this thread, and how many there are */
    int16_t *whole;     /* [C or I], its own, for INT8 */
} Thread;

/* Where the part of a thread begins; that of the next is its end. */
static long part(long n, long number, long count) { return number == count ? n : n * number / count / LANES * LANES; }

/* These are macros because GCC inlines no function into copies for other processors. */
#define OF_float(x) (x)
#define OF_bfloat16(x) (((union { uint32_t bits; float value; }){(uint32_t)(x) << 16}).value)

static inline float as_float(float x) { return x; }
static inline uint16_t as_bfloat16(float x) /* to the nearest, to even */
{
    union { float value; uint32_t bits; } it = {x};
    return x != x ? 0x7fc0 : (it.bits + 0x7fff + (it.bits >> 16 & 1)) >> 16;
}

/* e^x, between -87 and 87, in place: 2^n e^r with a polynomial for e^r (coefficients: Cephes' expf). It is vectorised,
   which a loop that calls libm is not. NaN stays NaN. */
FAST static void exponential(float *restrict x, long count)
{
    for (long k = 0; k < count; k++) {
        float y = x[k] < -87 ? -87 : x[k] > 87 ? 87 : x[k];
        float n = rintf(y * 1.44269504f), r = y - n * 0.693359375f + n * 2.12194440e-4f;
        float p = 1.9875691500e-4f;
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        union { uint32_t bits; float value; } power = {(uint32_t)((int32_t)n + 127) << 23};
        x[k] = (p * r * r + r + 1) * power.value;
    }
}

/* h = (x - mean) / sqrt(variance + epsilon) * scale + shift */
FAST static void normalise(float *restrict h, const float *restrict x, Norm norm, long C, float epsilon)
{
    float sums[LANES] = {0}, squares[LANES] = {0}, mean = 0, variance = 0;
    for (long k = 0; k < C; k += LANES)
        for (int j = 0; j < LANES; j++) sums[j] += x[k + j];
    for (int j = 0; j < LANES; j++) mean += sums[j] / C;
    for (long k = 0; k < C; k += LANES)
        for (int j = 0; j < LANES; j++) squares[j] += (x[k + j] - mean) * (x[k + j] - mean);
    for (int j = 0; j < LANES; j++) variance += squares[j] / C;
    float factor = 1 / sqrtf(variance + epsilon);
    for (long k = 0; k < C; k++) h[k] = (x[k] - mean) * factor * norm.scale[k] + norm.shift[k];
}

/* y = x W for some rows of a float W [in, out]: four at a time, so that y is read and written a quarter as often. */
FAST static void rows(float *restrict y, const float *restrict x, const float *restrict w, long in, long out)
{
    memset(y, 0, out * sizeof *y);
    for (long i = 0; i < in; i += 4) {
        const float *a = w + i * out, *b = a + out, *c = b + out, *d = c + out;
        float p = x[i], q = x[i + 1], r = x[i + 2], s = x[i + 3];
        for (long j = 0; j < out; j++) y[j] += p * a[j] + q * b[j] + r * c[j] + s * d[j];
    }
}

/* Below, the outputs from `first` to `end` of a W that lies as [out, in], as two streams, which memory serves faster
   than one or four: the o-th row of the first half, the o-th of the second, then the next of each. */
#define STREAMED(row, first, end)                                                                                      \
    for (long row, o = 0, half = (end - first + 1) / 2; o < 2 * half; o++)                                             \
        if ((row = first + o % 2 * half + o / 2) < end)

/* Twice as many sums as elsewhere, so that one addition need not wait for the last. */
#define DOTS(type, name)                                                                                               \
    FAST static void dots_##name(float *restrict y, const float *restrict x, const type *restrict w, long in,          \
                                 long first, long end)                                                                 \
    {                                                                                                                  \
        STREAMED(row, first, end) {                                                                                    \
            const type *weights = w + row * in;                                                                        \
            float sums[2 * LANES] = {0}, sum = 0;                                                                      \
            long k = 0;                                                                                                \
            for (; k + 2 * LANES <= in; k += 2 * LANES)                                                                \
                for (int j = 0; j < 2 * LANES; j++) sums[j] += OF_##name(weights[k + j]) * x[k + j];                   \
            for (; k < in; k += LANES)                                                                                 \
                for (int j = 0; j < LANES; j++) sums[j] += OF_##name(weights[k + j]) * x[k + j];                       \
            for (int j = 0; j < LANES; j++) sum += sums[j] + sums[j + LANES];                                          \
            y[row] = sum;                                                                                              \
        }                                                                                                              \
    }

/* For W in 8 bits, x is rounded to up to 16, into `whole` [in], few enough that a sum of products cannot overflow: sums
   of whole numbers take a third of the time. */
FAST static void dots_int8(float *restrict y, const float *restrict x, const int8_t *restrict w,
                           const float *restrict scale, int16_t *restrict whole, long in, long first, long end)
{
    float largest = 1e-30f, most = 2147483647 / 127 / in, damage = 0; /* not a number where x has none somewhere */
    most = most < 32767 ? most : 32767;
    for (long k = 0; k < in; k++) damage += 0 * x[k];
    for (long k = 0; k < in; k++) largest = fabsf(x[k]) > largest ? fabsf(x[k]) : largest;
    for (long k = 0; k < in; k++) whole[k] = (int16_t)rintf(x[k] * (most / largest));
    STREAMED(row, first, end) {
        const int8_t *weights = w + row * in;
        int32_t sum = 0;
        for (long k = 0; k < in; k++) sum += (int16_t)weights[k] * whole[k];
        y[row] = sum * (largest / most) * scale[row] + damage;
    }
}

/* One head: y [D], the values [T, D] mixed in the shares that the query gives to the first n keys [T, D]. */
#define ATTEND(type, name)                                                                                             \
    FAST static void attend_##name(float *restrict y, const float *restrict q, const type *restrict keys,              \
                                   const type *restrict values, float *restrict shares, long D, long n)                \
    {                                                                                                                  \
        float largest = -INFINITY, sum = 0, scale = 1 / sqrtf(D);                                                      \
        for (long t = 0; t < n; t++) {                                                                                 \
            const type *key = keys + t * D;                                                                            \
            float lanes[8] = {0}, score = 0;                                                                           \
            long d = 0;                                                                                                \
            for (; d + 8 <= D; d += 8)                                                                                 \
                for (int j = 0; j < 8; j++) lanes[j] += q[d + j] * OF_##name(key[d + j]);                              \
            for (int j = 0; j < 8; j++) score += lanes[j];                                                             \
            for (; d < D; d++) score += q[d] * OF_##name(key[d]);                                                      \
            shares[t] = score * scale;                                                                                 \
            largest = shares[t] > largest ? shares[t] : largest;                                                       \
        }                                                                                                              \
        for (long t = 0; t < n; t++) shares[t] -= largest;                                                             \
        exponential(shares, n);                                                                                        \
        for (long t = 0; t < n; t++) sum += shares[t];                                                                 \
        memset(y, 0, D * sizeof *y);                                                                                   \
        for (long t = 0; t < n; t++)                                                                                   \
            for (long d = 0; d < D; d++) y[d] += shares[t] * OF_##name(values[t * D + d]);                             \
        for (long d = 0; d < D; d++) y[d] /= sum;                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    /* The heads of one thread: what is new goes into the cache first. qkv [3, H, D]. */                               \
    static void heads_##name(const Model *m, const Layer *layer, float *y, const float *qkv, float *shares,            \
                             long position, Thread me)                                                                 \
    {                                                                                                                  \
        long C = m->C, D = C / m->H, T = m->T;                                                                         \
        for (long h = me.number; h < m->H; h += me.count) {                                                            \
            type *keys = (type *)layer->keys + h * T * D, *values = (type *)layer->values + h * T * D;                 \
            for (long d = 0; d < D; d++) keys[position * D + d] = as_##name(qkv[C + h * D + d]);                       \
            for (long d = 0; d < D; d++) values[position * D + d] = as_##name(qkv[2 * C + h * D + d]);                 \
            attend_##name(y + h * D, qkv + h * D, keys, values, shares + h * T, D, position + 1);                      \
        }                                                                                                              \
    }

DOTS(float, float)
DOTS(uint16_t, bfloat16)
ATTEND(float, float)
ATTEND(uint16_t, bfloat16)

/* GELU by tanh, as GPT-2 has it: (1 + tanh u) / 2 is 1 / (1 + e^-2u). A block at a time, since a stack is small. */
FAST static void gelu(float *restrict h, long n)
{
    float e[BLOCK];
    for (long count; n > 0; h += count, n -= count) {
        count = n < BLOCK ? n : BLOCK;
        for (long k = 0; k < count; k++) e[k] = -1.5957691216f * (h[k] + 0.044715f * h[k] * h[k] * h[k]);
        exponential(e, count);
        for (long k = 0; k < count; k++) h[k] /= 1 + e[k];
    }
}

static void dots(const Model *m, float *y, const float *x, const Matrix *w, long in, long first, long end, Thread me)
{
    long type = m->matrices;
    if (type == FLOAT) dots_float(y, x, w->weight, in, first, end);
    if (type == BFLOAT16) dots_bfloat16(y, x, w->weight, in, first, end);
    if (type == INT8) dots_int8(y, x, w->weight, w->scale, me.whole, in, first, end);
}

/* This thread's part of x W. y holds SLICES sums [out] that are yet to be added, or a single one. */
static void product(const Model *m, float *y, const float *x, const Matrix *w, long in, long out, Thread me)
{
    if (m->matrices != FLOAT)
        return dots(m, y, x, w, in, part(out, me.number, me.count), part(out, me.number + 1, me.count), me);
    long first = SLICES * me.number / me.count, end = SLICES * (me.number + 1) / me.count, height = in / SLICES;
    for (long s = first; s < end; s++)
        rows(y + s * out, x + s * height, (const float *)w->weight + s * height * out, height, out);
}

/* What `product` left, added up, with the bias: the outputs from `first` to `end`, into `to` or onto it. */
FAST static void finish(const Model *m, float *restrict to, const float *restrict y, const float *restrict bias,
                        long out, long first, long end, int onto)
{
    for (long o = first; o < end; o++) {
        float sum = bias ? y[o] + bias[o] : y[o];
        to[o] = onto ? to[o] + sum : sum;
    }
    for (int s = 1; m->matrices == FLOAT && s < SLICES; s++)
        for (long o = first; o < end; o++) to[o] += y[s * out + o];
}

static void embed(const Model *m, float *x, long token, long position)
{
    const float *wte = (const float *)m->wte + token * m->C, *wpe = (const float *)m->wpe + position * m->C;
    const uint16_t *te = (const uint16_t *)m->wte + token * m->C, *pe = (const uint16_t *)m->wpe + position * m->C;
    for (long k = 0; k < m->C; k++)
        x[k] = m->embeddings == FLOAT ? wte[k] + wpe[k] : OF_bfloat16(te[k]) + OF_bfloat16(pe[k]);
}

/* What each thread has for itself: x and h [C], and whole numbers [C or I], two of them to a float. */
static long own(const Model *m) { return 2 * m->C + (m->C > m->I ? m->C : m->I); }

/* How many numbers `work` must hold. */
long step_work(const Model *m) { return SLICES * (5 * m->C + m->I + own(m)) + 4 * m->C + m->I + m->H * m->T; }

/* So that a library and a native.py of different ages are found out. */
long step_model_size(void) { return sizeof(Model) + sizeof(Layer); }

/* logits [V] of the token after `token`, which stands at `position`; the cache holds all before it, and then it too. */
void step(const Model *m, long token, long position, float *logits, int threads)
{
    long C = m->C, I = m->I;
    float *sums_qkv = m->work, *sums_projection = sums_qkv + SLICES * 3 * C;
    float *sums_outside = sums_projection + SLICES * C, *sums_inside = sums_outside + SLICES * C;
    float *qkv = sums_inside + SLICES * I, *mixed = qkv + 3 * C, *inner = mixed + C;
    float *of_threads = inner + I, *shares = of_threads + SLICES * own(m);

#pragma omp parallel num_threads(threads < SLICES ? threads : SLICES)
    {
        /* The stream, and what a product is given: each thread has them whole. */
        float *x = of_threads + omp_get_thread_num() * own(m), *h = x + C;
        Thread me = {omp_get_thread_num(), omp_get_num_threads(), (int16_t *)(h + C)};
        embed(m, x, token, position);
        for (long l = 0; l < m->layers; l++) {
            const Layer *layer = &m->layer[l];
            normalise(h, x, layer->before_attention, C, m->epsilon);
            product(m, sums_qkv, h, &layer->qkv, C, 3 * C, me);
#pragma omp barrier
            long D = C / m->H;
            for (long head = me.number; head < m->H; head += me.count)
                for (int i = 0; i < 3; i++)
                    finish(m, qkv, sums_qkv, layer->qkv.bias, 3 * C, i * C + head * D, i * C + head * D + D, 0);
            (m->embeddings == FLOAT ? heads_float : heads_bfloat16)(m, layer, mixed, qkv, shares, position, me);
#pragma omp barrier
            product(m, sums_projection, mixed, &layer->projection, C, C, me);
#pragma omp barrier
            finish(m, x, sums_projection, layer->projection.bias, C, 0, C, 1);
            normalise(h, x, layer->before_mlp, C, m->epsilon);
            product(m, sums_inside, h, &layer->inside, C, I, me);
#pragma omp barrier
            long first = part(I, me.number, me.count), end = part(I, me.number + 1, me.count);
            finish(m, inner, sums_inside, layer->inside.bias, I, first, end, 0);
            gelu(inner + first, end - first);
#pragma omp barrier
            product(m, sums_outside, inner, &layer->outside, I, C, me);
#pragma omp barrier
            finish(m, x, sums_outside, layer->outside.bias, C, 0, C, 1);
        }
        normalise(h, x, m->last, C, m->epsilon);
        dots(m, logits, h, &m->head, C, part(m->V, me.number, me.count), part(m->V, me.number + 1, me.count), me);
    }
}
