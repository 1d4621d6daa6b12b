/* Muon's step (Jordan et al., 2024), for one kind of processor: levels.h includes this file for each. */

/* c = a b, where that is symmetric [rows, rows], so that only a half of it is computed. */
static void ON(symmetric)(float *c, Matrix a, Matrix b, long rows, long inner, float *packed)
{
    ON(product)(rows, rows, inner, a, b, c, rows, 0, 1, packed);
    long whole = rows / LANES * LANES;
    for (long top = LANES; top < whole; top += LANES)
        for (long left = 0; left < top; left += LANES)
            ON(turn)(c + top * rows + left, rows, c + left * rows + top, rows);
    for (long i = whole; i < rows; i++)
        for (long j = 0; j < i; j++) c[i * rows + j] = c[j * rows + i];
}

/* y: x [rows, columns] with every singular value moved close to 1, by the quintics a s + b s^3 + c s^5 in turn. All of
   them are found from the Gram matrix G of the shorter side, which is smaller than x: with Q = a + b G + c G^2, the next
   Gram matrix is Q G Q, and the product of all Qs does to x what the quintics would. `work`: five Gram matrices. */
static void ON(orthogonalise)(float *restrict y, float *restrict x, long rows, long columns, const Muon *m, float *work,
                              float *packed)
{
    long flat = rows <= columns, side = flat ? rows : columns, n = side * side;
    Matrix upright = {x, columns, 1}, turned = {x, 1, columns};
    float *gram = work, *square = gram + n, *now = square + n, *all = now + n, *spare = all + n, *last;
    float norm = MARGIN * sqrtf(ON(dot)(x, x, rows * columns)), factor = 1 / (norm > 1e-7f ? norm : 1e-7f);
    for (long k = 0; k < rows * columns; k++) x[k] *= factor;
    ON(symmetric)(gram, flat ? upright : turned, flat ? turned : upright, side, rows * columns / side, packed);
    for (int i = 0; i < m->rounds; i++) {
        const float *quintic = m->quintics + 3 * i;
        Matrix G = {gram, side, 1}, Q = {now, side, 1};
        ON(symmetric)(square, G, G, side, side, packed);
        for (long k = 0; k < n; k++) now[k] = quintic[1] * gram[k] + quintic[2] * square[k];
        for (long k = 0; k < side; k++) now[k * side + k] += quintic[0];
        if (i) ON(symmetric)(spare, (Matrix){all, side, 1}, Q, side, side, packed);
        else memcpy(spare, now, n * sizeof *spare);
        last = all, all = spare, spare = last;
        if (i + 1 == m->rounds) break;
        ON(symmetric)(square, Q, G, side, side, packed);
        ON(symmetric)(gram, (Matrix){square, side, 1}, Q, side, side, packed);
    }
    Matrix of_all = {all, side, 1};
    ON(product)(rows, columns, side, flat ? of_all : upright, flat ? upright : of_all, y, columns, 0, 0, packed);
}

/* One step for p [rows, columns], `parts` matrices side by side: Nesterov momentum, orthogonalised. */
static void ON(muon)(float *p, const float *g, float *momentum, long rows, long columns, long parts, float factor,
                     const Muon *m, float *work)
{
    long width = columns / parts, size = rows * width;
    float *x = work, *y = x + size, *packed = y + size, *grams = packed + PACKED;
    float rate = m->rate * (width > rows ? sqrtf((float)width / rows) : 1); /* as large a change for every width */
    for (long part = 0; part < parts; part++) {
        for (long i = 0; i < rows; i++) {
            float *now = x + i * width, *kept = momentum + i * columns + part * width;
            const float *from = g + i * columns + part * width;
            for (long j = 0; j < width; j++) {
                float d = from[j] * factor;
                kept[j] += (d - kept[j]) * (1 - m->momentum);
                now[j] = d + (kept[j] - d) * m->momentum;
            }
        }
        ON(orthogonalise)(y, x, rows, width, m, grams, packed);
        for (long i = 0; i < rows; i++) {
            float *to = p + i * columns + part * width;
            for (long j = 0; j < width; j++) to[j] = to[j] * m->kept - rate * y[i * width + j];
        }
    }
}
