/* A GPT's forward and backward pass, for one kind of processor: levels.h includes this file for each.

   N tokens, in whole windows of T; C width, H heads, D = C / H, I inside the MLP, V vocabulary. Every matrix is
   contiguous; those that are ON(Stored) may be rounded (see pairs.h). A d before a name stands for the gradient of the
   loss by it; gradients of parameters are added to. */

/* What was stored, in rows of `columns` numbers; and its transpose. */
static Matrix ON(of_stored)(const ON(Stored) *x, long columns) { return (Matrix){x, ON(stride)(columns), 1, 1}; }
static Matrix ON(turned_stored)(const ON(Stored) *x, long columns) { return (Matrix){x, 1, ON(stride)(columns), 1}; }

/* The factors of dropout for n elements: 0 or 1 / (1 - share), at random, but always the same for a key and the number
   of the first element. The hash is Wellons's lowbias32. */
static inline void ON(keep)(float *restrict kept, Dropout dropout, uint32_t first, long n)
{
    for (long k = 0; k < n; k++) {
        uint32_t x = (first + (uint32_t)k) ^ dropout.key;
        x ^= x >> 16;
        x *= 0x7feb352d;
        x ^= x >> 15;
        x *= 0x846ca68b;
        x ^= x >> 16;
        kept[k] = (int32_t)(x >> 8) >= dropout.dropped ? dropout.scale : 0;
    }
}

/* y = x w [N, out] */
static void ON(linear)(float *y, const ON(Stored) *x, Linear w, long N, float *packed)
{
    ON(product)(N, w.out, w.in, ON(of_stored)(x, w.in), (Matrix){w.weight, w.out, 1}, y, w.out, 0, 0, packed);
}

/* Backward through y = x w: dx [N, in]. */
static void ON(linear_backward)(float *dx, const ON(Stored) *dy, Linear w, long N, float *packed)
{
    ON(product)(N, w.in, w.out, ON(of_stored)(dy, w.out), (Matrix){w.weight, 1, w.out}, dx, w.in, 0, 0, packed);
}

/* And dw [in, out]. */
static void ON(weight_backward)(const ON(Stored) *dy, const ON(Stored) *x, Linear w, long N, float *packed)
{
    ON(product)(w.in, w.out, N, ON(turned_stored)(x, w.in), ON(of_stored)(dy, w.out), w.dweight, w.out, 1, 0, packed);
}

/* x = dropout(wte[ids] + wpe) */
static void ON(embed)(float *restrict x, const int64_t *ids, const Model *m, long N, Place place)
{
    long C = m->C;
    for (long n = 0; n < N; n++, x += C) {
        const float *token = m->wte + ids[n] * C, *position = m->wpe + n % m->T * C;
        if (place.dropout.dropped) ON(keep)(place.kept, place.dropout, place.first + n * C, C);
        for (long k = 0; k < C; k++) x[k] = (token[k] + position[k]) * place.kept[k];
    }
}

static void ON(embed_backward)(const float *restrict dx, const int64_t *ids, const Model *m, long N, Place place)
{
    long C = m->C;
    for (long n = 0; n < N; n++, dx += C) {
        float *token = m->dwte + ids[n] * C, *position = m->dwpe + n % m->T * C;
        if (place.dropout.dropped) ON(keep)(place.kept, place.dropout, place.first + n * C, C);
        for (long k = 0; m->dwte && k < C; k++) token[k] += dx[k] * place.kept[k];
        for (long k = 0; m->dwpe && k < C; k++) position[k] += dx[k] * place.kept[k];
    }
}

/* to = x + dropout(y + bias), unless there is no y; stored is LayerNorm(to), whose mean and 1 / deviation go to `moments`
   [N, 2]. Ba et al., "Layer Normalization", 2016. */
static void ON(add_norm)(float *to, ON(Stored) *restrict stored, float *restrict moments, const float *x, const float *restrict y,
                         const float *restrict bias, Norm norm, const Model *m, long N, Place place)
{
    long C = m->C;
    for (long n = 0; n < N; n++, x += C, to += C, stored += ON(stride)(C)) {
        float *h = ON(draft)(stored, place.draft);
        if (y) {
            const float *added = y + n * C;
            if (place.dropout.dropped) ON(keep)(place.kept, place.dropout, place.first + n * C, C);
            for (long k = 0; k < C; k++) to[k] = x[k] + (added[k] + bias[k]) * place.kept[k];
        }
        float mean = ON(sum)(to, C) / C;
        for (long k = 0; k < C; k++) h[k] = to[k] - mean;
        float factor = 1 / sqrtf(ON(dot)(h, h, C) / C + m->epsilon);
        for (long k = 0; k < C; k++) h[k] = h[k] * factor * norm.gain[k] + norm.shift[k];
        ON(store)(stored, h, C);
        moments[2 * n] = mean, moments[2 * n + 1] = factor;
    }
}

/* Backward through add_norm: dx receives what dh brings it, besides what it has; then dy, stored, is dropout(dx), and
   the sum of that is dbias, unless nothing was added. */
static void ON(add_norm_backward)(float *restrict dx, ON(Stored) *restrict dy, float *restrict dbias,
                                  const float *restrict dh, const float *restrict x, const float *restrict moments,
                                  Norm norm, const Model *m, long N, Place place)
{
    long C = m->C;
    float *normal = place.kept + C, *moved = normal + C;
    for (long n = 0; n < N; n++, dx += C, dh += C, x += C) {
        float mean = moments[2 * n], factor = moments[2 * n + 1];
        for (long k = 0; k < C; k++) {
            normal[k] = (x[k] - mean) * factor;
            moved[k] = dh[k] * norm.gain[k];
            norm.dgain[k] += dh[k] * normal[k];
            norm.dshift[k] += dh[k];
        }
        float along = ON(dot)(moved, normal, C) / C, all = ON(sum)(moved, C) / C;
        for (long k = 0; k < C; k++) dx[k] += factor * (moved[k] - all - normal[k] * along);
        if (dy) {
            if (place.dropout.dropped) ON(keep)(place.kept, place.dropout, place.first + n * C, C);
            float *to = ON(draft)(dy, place.draft);
            for (long k = 0; k < C; k++) {
                to[k] = dx[k] * place.kept[k];
                dbias[k] += to[k];
            }
            ON(store)(dy, to, C);
            dy += ON(stride)(C);
        }
    }
}

/* a = GELU(u + bias) and its slope there, both stored, by tanh as GPT-2 has it: (1 + tanh v) / 2 is 1 / (1 + e^-2v).
   Hendrycks and Gimpel, 2016. */
static void ON(gelu)(ON(Stored) *restrict a, ON(Stored) *restrict slope, const float *restrict u,
                     const float *restrict bias, long N, long I, float *draft)
{
    for (long n = 0; n < N; n++, u += I, a += ON(stride)(I), slope += ON(stride)(I)) {
        float *restrict value = ON(draft)(a, draft), *restrict growth = ON(draft)(slope, draft + I);
        for (long k = 0; k < I; k++) {
            float x = u[k] + bias[k];
            float share = 1 / (1 + ON(exponential)(-1.5957691216f * (x + 0.044715f * x * x * x)));
            value[k] = x * share;
            growth[k] = share + value[k] * (1 - share) * (1.5957691216f + 0.2140644488f * x * x);
        }
        ON(store)(a, value, I);
        ON(store)(slope, growth, I);
    }
}

/* Backward through gelu: `d` holds da, and du is stored in its place, the sum of which is dbias. */
static void ON(gelu_backward)(float *d, float *restrict dbias, const ON(Stored) *slope, long N, long I, float *draft)
{
    ON(Stored) *du = (void *)d;
    for (long n = 0; n < N; n++, d += I, du += ON(stride)(I), slope += ON(stride)(I)) {
        const float *growth = ON(loaded)(draft, slope, I);
        for (long k = 0; k < I; k++) {
            d[k] *= growth[k];
            dbias[k] += d[k];
        }
        ON(store)(du, d, I);
    }
}

/* Cross-entropy: returns the summed nats of the targets; the gradient times `scale` is stored in place of the logits
   [N, V]. */
static double ON(loss)(float *logits, const int64_t *targets, float scale, long N, long V)
{
    double nats = 0;
    ON(Stored) *gradient = (void *)logits;
    for (long n = 0; n < N; n++, logits += V, gradient += ON(stride)(V)) {
        float most = ON(largest)(logits, V), of_target = logits[targets[n]] - most;
        for (long k = 0; k < V; k++) logits[k] = ON(exponential)(logits[k] - most);
        float all = ON(sum)(logits, V), factor = scale / all;
        nats += log(all) - of_target;
        for (long k = 0; k < V; k++) logits[k] *= factor;
        logits[targets[n]] -= scale;
        ON(store)(gradient, logits, V);
    }
    return nats;
}

/* The nats; and unless there is no dh, the gradient of the head's input, h, and of the head. Some rows at a time. */
static double ON(head)(float *dh, const ON(Stored) *h, const int64_t *targets, const Model *m, float scale, long N,
                       float *logits, float *packed)
{
    long C = m->C, V = m->V;
    double nats = 0;
    for (long n = 0; n < N; n += m->rows) {
        long some = N - n < m->rows ? N - n : m->rows;
        const ON(Stored) *x = h + n * ON(stride)(C), *gradient = (void *)logits;
        ON(product)(some, V, C, ON(of_stored)(x, C), (Matrix){m->head, 1, C}, logits, V, 0, 0, packed);
        nats += ON(loss)(logits, targets + n, scale, some, V);
        if (dh) ON(product)(some, C, V, ON(of_stored)(gradient, V), (Matrix){m->head, C, 1}, dh + n * C, C, 0, 0, packed);
        if (dh && m->dhead)
            ON(product)(V, C, some, ON(turned_stored)(gradient, V), ON(of_stored)(x, C), m->dhead, C, 1, 0, packed);
    }
    return nats;
}

/* What add_norm and its backward need at a place of the residual stream: 0 is the embeddings, then two a layer. */
static Place ON(place)(const Model *m, const Buffers *b, long number, uint32_t first)
{
    return (Place){{m->keys[number], m->dropped, m->scale}, first, b->kept, b->draft};
}

/* From the ids to the final norm, all of which stays in the buffers. */
static void ON(forward)(const Model *m, const Buffers *b, const int64_t *ids, long N, uint32_t first)
{
    long C = m->C, I = m->I, L = m->L, stored = N * ON(stride)(C);
    float *x = b->x, *moments = b->moments;
    ON(Stored) *h = b->h, *mixed = b->mixed, *a = b->a, *slope = b->slope;
    ON(embed)(x, ids, m, N, ON(place)(m, b, 0, first));
    ON(add_norm)(x, h, moments, x, NULL, NULL, m->blocks[0].ln_1, m, N, ON(place)(m, b, 0, first));
    for (long l = 0; l < L; l++, mixed += stored, a += N * ON(stride)(I), slope += N * ON(stride)(I)) {
        const Block *block = &m->blocks[l];
        float *qkv = b->qkv + l * N * 3 * C;
        ON(linear)(qkv, h, block->qkv, N, b->packed);
        ON(attention)(mixed, b->logs + l * N * m->H, qkv, block->qkv.bias, m, N, b->space);
        ON(linear)(b->y, mixed, block->projection, N, b->packed);
        ON(add_norm)(x + N * C, h + stored, moments + 2 * N, x, b->y, block->projection.bias, block->ln_2, m, N,
                     ON(place)(m, b, 2 * l + 1, first));
        x += N * C, h += stored, moments += 2 * N;
        ON(linear)(b->u, h, block->inside, N, b->packed);
        ON(gelu)(a, slope, b->u, block->inside.bias, N, I, b->draft);
        ON(linear)(b->y, a, block->outside, N, b->packed);
        ON(add_norm)(x + N * C, h + stored, moments + 2 * N, x, b->y, block->outside.bias,
                     l + 1 < L ? m->blocks[l + 1].ln_1 : m->ln_f, m, N, ON(place)(m, b, 2 * l + 2, first));
        x += N * C, h += stored, moments += 2 * N;
    }
}

/* From dh, the gradient of the head's input, to the embeddings, or to the lowest layer that learns. */
static void ON(backward)(const Model *m, const Buffers *b, const int64_t *ids, long N, uint32_t first)
{
    long C = m->C, I = m->I, L = m->L, stored = N * ON(stride)(C);
    float *x = b->x + 2 * L * N * C, *moments = b->moments + 4 * L * N, *dx = b->dx, *dh = b->dh;
    ON(Stored) *h = (ON(Stored) *)b->h + 2 * L * stored, *dy = b->dy, *du = (void *)b->u;
    memset(dx, 0, N * C * sizeof *dx);
    ON(add_norm_backward)(dx, L > m->lowest ? dy : NULL, m->blocks[L - 1].outside.dbias, dh, x, moments, m->ln_f, m, N,
                          ON(place)(m, b, 2 * L, first));
    for (long l = L - 1; l >= m->lowest; l--) {
        const Block *block = &m->blocks[l];
        float *qkv = b->qkv + l * N * 3 * C;
        ON(Stored) *mixed = (ON(Stored) *)b->mixed + l * stored;
        ON(Stored) *a = (ON(Stored) *)b->a + l * N * ON(stride)(I), *slope = (ON(Stored) *)b->slope + l * N * ON(stride)(I);
        x -= N * C, h -= stored, moments -= 2 * N;
        ON(linear_backward)(b->u, dy, block->outside, N, b->packed);
        ON(gelu_backward)(b->u, block->inside.dbias, slope, N, I, b->draft);
        ON(weight_backward)(dy, a, block->outside, N, b->packed);
        ON(weight_backward)(du, h, block->inside, N, b->packed);
        ON(linear_backward)(dh, du, block->inside, N, b->packed);
        ON(add_norm_backward)(dx, dy, block->projection.dbias, dh, x, moments, block->ln_2, m, N,
                              ON(place)(m, b, 2 * l + 1, first));
        x -= N * C, h -= stored, moments -= 2 * N;
        ON(weight_backward)(dy, mixed, block->projection, N, b->packed);
        ON(linear_backward)(dh, dy, block->projection, N, b->packed);
        ON(attention_backward)(b->dqkv, block->qkv.dbias, dh, b->logs + l * N * m->H, qkv, block->qkv.bias, m, N, b->space);
        ON(weight_backward)(b->dqkv, h, block->qkv, N, b->packed);
        ON(linear_backward)(dh, b->dqkv, block->qkv, N, b->packed);
        ON(add_norm_backward)(dx, l > m->lowest ? dy : NULL, l ? m->blocks[l - 1].outside.dbias : NULL, dh, x, moments,
                              block->ln_1, m, N, ON(place)(m, b, 2 * l, first));
    }
    if (!m->lowest) ON(embed_backward)(dx, ids, m, N, ON(place)(m, b, 0, first));
}

/* The summed nats of N tokens. If these `learn`, dropout is used, and the gradient of that sum, times `scale`, is added to
   those of the parameters. `first`: the number of tokens before them in the batch. */
static double ON(pass)(const Model *m, const Buffers *b, const int64_t *ids, const int64_t *targets, long N, long first,
                       float scale, int learn)
{
    uint32_t element = (uint32_t)first * (uint32_t)m->C;
    for (long k = 0; k < m->C; k++) b->kept[k] = 1;
    ON(forward)(m, b, ids, N, element);
    ON(Stored) *h = (ON(Stored) *)b->h + 2 * m->L * N * ON(stride)(m->C);
    float *dh = learn ? b->dh : NULL;
    double nats = ON(head)(dh, h, targets, m, scale, N, b->logits, b->packed);
    if (learn) ON(backward)(m, b, ids, N, element);
    return nats;
}
