/* What a record needs of a whole vocabulary, in float64, for one kind of processor: levels.h includes this file for each.

   A sum has PARTS parts, whatever the width of a register. */

#ifndef PARTS
#define PARTS 16
#endif

/* e^x for x <= 0, as 2^n e^r with r of at most ln 2 / 2: of the Taylor series of e^r, what is left out is below half a unit
   in the last place. The power is applied in two steps, because 2^n alone is no normal number below -708. */
static inline double ON(power_of_e)(double x)
{
    double y = x < -746 ? -746 : x; /* where the result is 0 */
    union { double value; uint64_t bits; } whole = {y * 1.4426950408889634 + 0x1.8p52}, scale; /* n is in its last bits */
    double n = whole.value - 0x1.8p52, r = y - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33; /* ln 2, in two parts */
    static const double inverse[] = { /* of the factorials from 13 down */
        1.6059043836821613e-10, 2.08767569878681e-09, 2.505210838544172e-08, 2.755731922398589e-07, 2.7557319223985893e-06,
        2.48015873015873e-05, 1.984126984126984e-04, 1.3888888888888889e-03, 8.333333333333333e-03, 4.1666666666666664e-02,
        1.6666666666666666e-01, 0.5, 1, 1,
    };
    double p = inverse[0];
    for (int i = 1; i < 14; i++) p = p * r + inverse[i];
    scale.bits = (whole.bits + 512 + 1023) << 52;
    return p * scale.value * 0x1p-512;
}

static double ON(greatest)(const double *x, long n)
{
    double parts[PARTS];
    long i = 0;
    for (int j = 0; j < PARTS; j++) parts[j] = x[0];
    for (; i + PARTS <= n; i += PARTS)
        for (int j = 0; j < PARTS; j++) parts[j] = x[i + j] > parts[j] ? x[i + j] : parts[j];
    for (; i < n; i++) parts[0] = x[i] > parts[0] ? x[i] : parts[0];
    for (int j = 1; j < PARTS; j++) parts[0] = parts[j] > parts[0] ? parts[j] : parts[0];
    return parts[0];
}

static double ON(whole_sum)(const double *x, long n)
{
    double parts[PARTS] = {0}, sum = 0;
    long i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int j = 0; j < PARTS; j++) parts[j] += x[i + j];
    for (; i < n; i++) sum += x[i];
    for (int j = 0; j < PARTS; j++) sum += parts[j];
    return sum;
}

/* The sum of p (from - x). */
static double ON(mean_below)(const double *p, const double *x, double from, long n)
{
    double parts[PARTS] = {0}, sum = 0;
    long i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int j = 0; j < PARTS; j++) parts[j] += p[i + j] * (from - x[i + j]);
    for (; i < n; i++) sum += p[i] * (from - x[i]);
    for (int j = 0; j < PARTS; j++) sum += parts[j];
    return sum;
}

/* Returns the entropy in nats, which is NaN unless all logits are finite: 0 times infinity is. */
static double ON(softmax)(const double *restrict logits, long V, double *restrict probs)
{
    double best = ON(greatest)(logits, V);
    for (long i = 0; i < V; i++) probs[i] = ON(power_of_e)(logits[i] - best);
    double sum = ON(whole_sum)(probs, V), below = ON(mean_below)(probs, logits, best, V);
    for (long i = 0; i < V; i++) probs[i] /= sum;
    return log(sum) + below / sum;
}

static long ON(count_above)(const double *x, long n, double least)
{
    long count = 0;
    for (long i = 0; i < n; i++) count += x[i] > least;
    return count;
}

/* The sum over all but these ids, which ascend, term by term: what is left of 1 would be rounded. */
static double ON(sum_without)(const double *x, long V, const int64_t *ids, long n)
{
    double sum = 0;
    long from = 0;
    for (long i = 0; i < n; from = ids[i++] + 1) sum += ON(whole_sum)(x + from, ids[i] - from);
    return sum + ON(whole_sum)(x + from, V - from);
}

/* Fills the first `top` places with the largest logits, best first, the lowest id first among equals. */
static void ON(find_best)(const double *logits, long V, long top, int64_t *ids)
{
    long n = 0;
    double least = 0;
    for (long i = 0; i < V; i++) {
        if (n == top && logits[i] <= least) continue;
        long at = n < top ? n++ : n - 1;
        for (; at && logits[i] > logits[ids[at - 1]]; at--) ids[at] = ids[at - 1];
        ids[at] = i;
        least = logits[ids[n - 1]];
    }
}

static long ON(list_tokens)(const double *rows, long distributions, long V, long top, long asked, void *found)
{
    long size = top + asked, n = top;
    int64_t *ids = found, *ascending = ids + size, *ranks = ascending + size;
    double *logits = (double *)(ranks + size), *probs = logits + size, *rest = probs + distributions * size;
    if (top) ON(find_best)(rows, V, top, ids);
    for (long i = top; i < size; i++) {
        long at = 0;
        while (at < n && ids[at] != ids[i]) at++;
        if (at == n) ids[n++] = ids[i];
    }
    for (long i = 0; i < n; i++) {
        long at = i;
        for (; at && ids[i] < ascending[at - 1]; at--) ascending[at] = ascending[at - 1];
        ascending[at] = ids[i];
        logits[i] = rows[ids[i]];
        if (i >= top) ranks[i] = 1 + ON(count_above)(rows, V, logits[i]);
        else ranks[i] = i && logits[i] == logits[i - 1] ? ranks[i - 1] : i + 1;
    }
    for (long row = 0; row < distributions; row++, probs += size) {
        const double *from = rows + (1 + row) * V;
        for (long i = 0; i < n; i++) probs[i] = from[ids[i]];
        rest[row] = ON(sum_without)(from, V, ascending, n);
    }
    return n;
}
