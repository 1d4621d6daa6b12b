/* A GPT's forward pass on the CPU, with its cache, and what a record then needs of the vocabulary. native.py calls it.

   A pass over few tokens (a step of decoding) reads every weight once and takes as long as that: each thread reads long
   stretches of memory from front to back, and all threads stay together from the first layer to the last. A pass over
   many tokens is a matter of arithmetic: its products are computed in blocks. The code itself is in forward.h, which
   levels.h compiles for each kind of processor.

   Letters as in gpt.py: C width, H heads, D head width, I inside the MLP, V vocabulary, T context. Matrices of float32
   lie as [in, out], those of fewer bits, and the output head, as [out, in]. */

#define _GNU_SOURCE /* for sched_getcpu */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "blocks.h"
#include "team.h"

enum { FLOAT, BFLOAT16, INT8 };
enum { GELU_NEW, GELU, QUICK_GELU, RELU, SILU, TANH };

enum {
    INTERFACE = 1, /* counted up whenever the arguments of a function change that Python calls */
    FEW = 16,    /* tokens: with more of them, a product is computed in blocks */
    SLICES = 4,  /* the most threads of a pass over few */
    SUMMED = 32, /* products of a row and a vector that are added at once */
    BESIDE = 32, /* columns of a row that are read before those of the next */
    PAD = 64,    /* rows of the cache are filled up to multiples of it */
    QUERIES = 48,
    COLUMNS_AT_ONCE = 512,
};

typedef struct {
    const void *weight;
    const float *scale; /* [out], of INT8 */
    const float *bias;  /* [out], or none */
} Weights;

typedef struct {
    const float *gain, *shift; /* [C] */
} Norm;

typedef struct {
    Norm ln_1;
    Weights qkv, projection;
    Norm ln_2;
    Weights inside, outside;
} Block;

typedef struct {
    long C, H, I, V, T, layers;
    long matrices, embeddings, activation; /* their types */
    float epsilon;
    const void *wte, *wpe; /* [V, C], [T, C] */
    Norm ln_f;
    Weights head;
    const Block *blocks;
} Model;

/* The keys and values of `sequences` texts: [layers, sequences, H, D, padded T] and [layers, sequences, H, T, D]. */
typedef struct {
    float *keys, *values;
    long sequences;
} Cache;

/* A pass over `count` tokens of each of the first `sequences` in the cache, at `position` and after. */
typedef struct {
    const Model *model;
    const Cache *cache;
    const int64_t *ids; /* [sequences, count] */
    long sequences, count, position;
    const int64_t *targets; /* [sequences, count], of which those below 0 are left out; or none */
    double *nats;           /* [sequences, count], of the targets */
    float *logits;          /* [sequences, V] after the last tokens, or [sequences, count, V]; or none */
    long every;             /* whether it is after every token */
    float *work;
} Pass;

static int is_few(const Pass *p) { return p->sequences * p->count <= FEW; }

static long padded(long n) { return (n + PAD - 1) / PAD * PAD; }

static long larger(long a, long b) { return a > b ? a : b; }

static long smaller(long a, long b) { return a < b ? a : b; }

/* Where the part of a thread begins, in whole lines of the cache; that of the next is its end. */
static long part(long n, Thread me, long further)
{
    long number = me.number + further;
    return number == me.count ? n : n * number / me.count / 16 * 16;
}

/* A float matrix is read in slices of its rows, each with a sum of its own, so that threads can share them. There are as
   many however many threads there are, and so they all give the same bits. */
static long slices(long in) { return SLICES * larger(1, (in + 512 * SLICES - 1) / (512 * SLICES)); }

static long slice_start(long in, long number) { return in * number / slices(in); }

/* Where the slices of a thread begin; that of the next is their end. */
static long own_slices(long in, Thread me, long further) { return slices(in) * (me.number + further) / me.count; }

static float *cached(float *of, const Pass *p, long layer, long sequence, long head, long size)
{
    return of + ((layer * p->cache->sequences + sequence) * p->model->H + head) * size;
}

typedef struct {
    float *sums_qkv, *sums_projection, *sums_inside, *sums_outside; /* [slices, N, 3C], ... */
    float *qkv, *mixed, *inner, *logits;                            /* [N, 3C], [N, C], [N, I], [N, V] */
    float *x, *h, *shares, *whole; /* [N, C], [N, C], [padded T + padded D] and [N, C or I]: the thread's own */
} FewBuffers;

typedef struct {
    float *x, *h, *wide, *logits;  /* [N, C], [N, C], [N, 3C or I], [QUERIES, V] */
    float *packed, *space, *whole; /* PACKED + DEEP x WIDE, a block of attention, [FEW, C]: the thread's own */
} ManyBuffers;

typedef struct {
    float **to;
    long size;
} Part;

/* Divides `work` from `used` on; returns where the rest begins, in whole lines of the cache. */
static long divide(float *work, long used, const Part *parts, int count)
{
    for (int i = 0; i < count; i++) {
        *parts[i].to = work ? work + used : NULL;
        used += (parts[i].size + 15) / 16 * 16;
    }
    return used;
}

/* The buffers of a thread, all of which lie in `work`; returns how many numbers it must hold for this thread and those
   before it. */
static long divide_few(const Pass *p, long thread, FewBuffers *b)
{
    const Model *m = p->model;
    long C = m->C, I = m->I, N = p->sequences * p->count;
    Part shared[] = {
        {&b->sums_qkv, slices(C) * N * 3 * C}, {&b->sums_projection, slices(C) * N * C},
        {&b->sums_inside, slices(C) * N * I}, {&b->sums_outside, slices(I) * N * C}, {&b->qkv, N * 3 * C},
        {&b->mixed, N * C}, {&b->inner, N * I}, {&b->logits, p->targets ? N * m->V : 0},
    };
    Part own[] = {{&b->x, N * C}, {&b->h, N * C}, {&b->shares, padded(m->T) + padded(C / m->H)}, {&b->whole, N * larger(C, I)}};
    long used = divide(p->work, 0, shared, sizeof shared / sizeof *shared);
    for (long i = 0; i <= thread; i++) used = divide(p->work, used, own, sizeof own / sizeof *own);
    return used;
}

static long divide_many(const Pass *p, Thread me, ManyBuffers *b)
{
    const Model *m = p->model;
    long C = m->C, N = p->sequences * p->count;
    Part shared[] = {
        {&b->x, N * C}, {&b->h, N * C}, {&b->wide, N * larger(3 * C, m->I)}, {&b->logits, p->targets ? QUERIES * m->V : 0},
    };
    Part own[] = {
        {&b->packed, PACKED + DEEP * WIDE},
        {&b->space, QUERIES * (padded(m->T) + 16 + 2 * padded(C / m->H))},
        {&b->whole, FEW * C},
    };
    long used = divide(p->work, 0, shared, sizeof shared / sizeof *shared);
    for (long i = 0; i <= me.number; i++) used = divide(p->work, used, own, sizeof own / sizeof *own);
    return used;
}

#define CODE "forward.h"
#include "levels.h"

/* The level whose code is used. Tests set the highest that may be; 0 changes nothing. */
int forward_level(int highest) { return choose_level(highest); }

/* So that a library and a forward_library.py of different ages are found out. */
long forward_size(void) { return sizeof(Model) + sizeof(Block) + sizeof(Cache) + sizeof(Pass) + INTERFACE; }

/* How many numbers `work` must hold for a pass with so many threads. */
long forward_work(const Pass *p, int threads)
{
    FewBuffers few;
    ManyBuffers many;
    Pass empty = *p;
    empty.work = NULL;
    if (is_few(p)) return divide_few(&empty, SLICES - 1, &few);
    return divide_many(&empty, (Thread){threads - 1, threads}, &many);
}

static void part_of_pass(const void *pass, Thread me)
{
    const Pass *p = pass;
    if (is_few(p)) CALL(pass_over_few, p, me);
    else CALL(pass_over_many, p, me);
}

/* The pass. Results do not depend on the number of threads. */
void forward(const Pass *p, int threads)
{
    share(part_of_pass, p, is_few(p) ? smaller(threads, SLICES) : threads);
}

/* The probabilities [V] of the logits [V]; returns their entropy in nats, which is NaN unless all logits are finite. */
double softmax(const double *logits, long V, double *probs) { return CALL(softmax, logits, V, probs); }

/* The first token at which the cumulative sum exceeds `uniform`, in [0, 1), of the whole sum. */
long draw(const double *probs, long V, double uniform)
{
    double sum = 0, upto = 0;
    for (long i = 0; i < V; i++) sum += probs[i];
    double point = uniform * sum;
    for (long i = 0; i < V; i++)
        if ((upto += probs[i]) > point) return i;
    while (V > 1 && !probs[V - 1]) V--; /* the product was rounded up */
    return V - 1;
}

/* The `top` largest logits, best first, and then as many others as are asked for, each once; returns how many there are.
   `rows`: the logits, and some distributions [1 + distributions, V]. `found`, with size = top + asked: the ids [size],
   in whose last places those asked for are given, the same in ascending order, ranks [size], logits [size],
   probabilities [distributions, size], and in each distribution the sum of all others [distributions]. */
long list_tokens(const double *rows, long distributions, long V, long top, long asked, void *found)
{
    return CALL(list_tokens, rows, distributions, V, top, asked, found);
}
