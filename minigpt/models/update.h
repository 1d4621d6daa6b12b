/* AdamW's step and sums of gradients, for one kind of processor: levels.h includes this file for each. */

/* AdamW (Loshchilov and Hutter, 2019) for n numbers; the gradient is multiplied by `factor`. */
static void ON(adamw)(float *restrict p, const float *restrict g, float *restrict mean, float *restrict square, long n,
                      float factor, const AdamW *a)
{
    for (long k = 0; k < n; k++) {
        float d = g[k] * factor;
        mean[k] += (d - mean[k]) * (1 - a->beta1);
        square[k] = square[k] * a->beta2 + d * d * (1 - a->beta2);
        p[k] = p[k] * a->kept - a->rate * mean[k] / (sqrtf(square[k]) * a->unbias + a->epsilon);
    }
}

/* Adds gradients of n numbers, the first of which is replaced; returns the sum of their squares. */
static double ON(add_up)(float **gradients, long count, long n)
{
    double squares = 0;
    for (long first = 0; first < n; first += SOME) {
        long some = n - first < SOME ? n - first : SOME;
        float *total = gradients[0] + first;
        for (long i = 1; i < count; i++)
            for (long k = 0; k < some; k++) total[k] += gradients[i][first + k];
        squares += ON(dot)(total, total, some);
    }
    return squares;
}
