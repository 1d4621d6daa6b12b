/* A training step of a GPT on the CPU: the loss, its gradients, and the optimizers' steps.

   gradients.py and native_step.py call it in several threads, each for its part of the batch or of the weights; nothing
   here starts a thread. Everything is in float32; products can be in bfloat16, with sums in float32. The code itself is
   in pass.h and the files beside it, which levels.h compiles for each kind of processor. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"

enum {
    PAD = 32,   /* a head's matrices are filled up to multiples of it: the most columns of a tile */
    BLOCK = 48, /* queries at a time */
    SOME = 4096,
};
#define MARGIN 1.02f /* the first quintic is made for singular values of 1 at most, rounding included */

typedef struct { const float *gain, *shift; float *dgain, *dshift; } Norm; /* [C] */

typedef struct {
    const float *weight, *bias; /* [in, out], [out] */
    float *dweight, *dbias;
    long in, out;
} Linear;

typedef struct { Norm ln_1; Linear qkv, projection; Norm ln_2; Linear inside, outside; } Block;

typedef struct {
    long C, H, I, V, T, L;
    long at_once;       /* tokens, in whole windows */
    long rows;          /* of logits at a time */
    long lowest;        /* the first layer that learns; if that is 0, the embeddings learn too, unless they have no gradient */
    float epsilon;
    int32_t dropped;    /* by dropout, of 2^24 */
    float scale;        /* of what it keeps */
    int32_t bfloat16;       /* multiply in bfloat16, where the processor can */
    const uint32_t *keys; /* [2L + 1], for dropout */
    const float *wte, *wpe, *head; /* [V, C], [T, C], [V, C] */
    float *dwte, *dwpe, *dhead;
    Norm ln_f;
    const Block *blocks;
} Model;

typedef struct { uint32_t key; int32_t dropped; float scale; } Dropout;

typedef struct {
    Dropout dropout;
    uint32_t first; /* the number of the first element in the batch */
    float *kept;    /* [3, C], the first of which is all ones where nothing is dropped */
    float *draft;   /* a row before it is stored */
} Place;

typedef struct {
    float *x, *moments, *qkv, *logs; /* [2L + 1, N, C], [2L + 1, N, 2], [L, N, 3C], [L, N, H]; x: the residual stream */
    void *h, *mixed, *a, *slope;     /* stored: [2L + 1, N, C], the norms' results; [L, N, C]; [L, N, I] twice */
    void *dy, *dqkv;                 /* stored: [N, C], [N, 3C] */
    float *u, *y, *dh, *dx;          /* [N, I], [N, C] three times */
    float *logits, *kept, *draft, *space, *packed;
} Buffers;

typedef struct { float beta1, beta2, epsilon, rate, unbias, kept; } AdamW; /* kept: by weight decay */

typedef struct {
    float rate, momentum, kept;
    int32_t rounds;
    const float *quintics; /* [rounds, 3] */
    int32_t bfloat16;          /* multiply in bfloat16, where the processor can */
} Muon;

static long padded(long n) { return (n + PAD - 1) / PAD * PAD; }

/* How far rows of n numbers lie apart: at a power of two, they would all be kept in the same few places of a cache. */
static long apart(long n) { return n + 16; }

#define CODE "training.h"
#define IN_BFLOAT16
#include "levels.h"

/* The level whose code is used. Tests set the highest that may be; 0 changes nothing. */
int train_level(int highest) { return choose_level(highest); }

/* Whether products in bfloat16 are in hardware here. */
int train_has_bfloat16(void) { return has_bfloat16(); }

/* So that a library and a train_library.py of different ages are found out. */
long train_size(void) { return sizeof(Model) + sizeof(Block) + sizeof(AdamW) + sizeof(Muon); }

/* Divides `work` among the buffers for N tokens; returns how many numbers it must hold. */
static long divide(const Model *m, long N, float *work, Buffers *b)
{
    long C = m->C, I = m->I, L = m->L, places = 2 * L + 1, T = padded(m->T), D = padded(C / m->H), used = 0;
    long rows = N < m->rows ? N : m->rows;
    struct { float **to; long size; } floats[] = {
        {&b->x, places * N * C}, {&b->moments, places * 2 * N}, {&b->qkv, L * N * 3 * C}, {&b->logs, L * N * m->H},
        {&b->u, N * I}, {&b->y, N * C}, {&b->dh, N * C}, {&b->dx, N * C}, {&b->logits, rows * m->V},
        {&b->kept, 3 * C}, {&b->draft, 2 * (I > C ? I : C)}, {&b->space, apart(T) * (13 * D + 5 * BLOCK)},
        {&b->packed, PACKED}, /* the last, because a few rows may be read beyond the end of a buffer */
    };
    struct { void **to; long rows, n; } stored[] = {
        {&b->h, places * N, C}, {&b->mixed, L * N, C}, {&b->a, L * N, I}, {&b->slope, L * N, I},
        {&b->dy, N, C}, {&b->dqkv, N, 3 * C},
    };
    for (unsigned long i = 0; i < sizeof stored / sizeof *stored; i++) {
        *stored[i].to = work + used;
        long row = m->bfloat16 && has_bfloat16() ? (stored[i].n + 1) / 2 : stored[i].n;
        used += (stored[i].rows * row + 15) / 16 * 16; /* whole lines of the cache */
    }
    for (unsigned long i = 0; i < sizeof floats / sizeof *floats; i++) {
        *floats[i].to = work + used;
        used += (floats[i].size + 15) / 16 * 16;
    }
    return used;
}

/* How many numbers `work` must hold. */
long train_work(const Model *m)
{
    Buffers b;
    return divide(m, m->at_once, NULL, &b);
}

/* See `pass` in pass.h. */
double train_pass(const Model *m, const int64_t *ids, const int64_t *targets, long N, long first, float scale, int learn,
                  float *work)
{
    double nats = 0;
    Model still = *m;
    Buffers b;
    if (!learn) still.dropped = 0;
    for (long n = 0; n < N; n += m->at_once) {
        long some = N - n < m->at_once ? N - n : m->at_once;
        divide(m, some, work, &b);
        nats += CALL_AS(m->bfloat16, pass, &still, &b, ids + n, targets + n, some, first + n, scale, learn);
    }
    return nats;
}

/* See update.h and muon.h. */
double train_add_up(float **gradients, long count, long n) { return CALL(add_up, gradients, count, n); }

void train_adamw(float *p, const float *g, float *mean, float *square, long n, float factor, const AdamW *a)
{
    CALL(adamw, p, g, mean, square, n, factor, a);
}

long train_muon_work(long rows, long columns, long parts)
{
    long width = columns / parts, shorter = rows < width ? rows : width;
    return 2 * rows * width + PACKED + 5 * shorter * shorter;
}

void train_muon(float *p, const float *g, float *momentum, long rows, long columns, long parts, float factor,
                const Muon *m, float *work)
{
    CALL_AS(m->bfloat16, muon, p, g, momentum, rows, columns, parts, factor, m, work);
}
