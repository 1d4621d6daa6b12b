/* Matrix products in float32 for one kind of processor: levels.h includes this file for each.

   A product is computed in tiles of ROWS x COLUMNS, which stay in registers while the sums grow; see Goto and van de
   Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. */

enum { ON(COLUMNS) = 2 * LANES };

/* What a product needs later is stored in rows: as floats here, in bfloat16 in pairs.h. */
typedef float ON(Stored);

/* How far rows of n numbers lie apart. */
static inline long ON(stride)(long n) { return n; }

/* Where to compute a row, which `store` then stores: here, in place. */
static inline float *ON(draft)(float *to, float *free) { return (void)free, to; }

static inline void ON(store)(float *to, const float *row, long n) { (void)to, (void)row, (void)n; }

/* A part of a row, which was computed elsewhere. */
static inline void ON(store_some)(float *to, const float *row, long n) { memcpy(to, row, n * sizeof *to); }

/* The floats of a stored row. */
static inline const float *ON(loaded)(float *free, const float *row, long n) { return (void)(free + n), row; }

/* c (+)= a b, for ROWS rows and COLUMNS columns, which stay in registers while k runs. Element (r, k) of `a` is at
   a[r * down + k * across], so the transpose of a matrix is the same call. */
static inline __attribute__((always_inline)) void ON(grow)(long K, const float *restrict a, long down, long across,
                                                           const float *restrict b, long row_b, float *restrict c,
                                                           long row_c, int add)
{
    typedef ON(Lanes) Lanes;
    Lanes sums[ROWS][2] = {0};
    const float *rows[ROWS / 3]; /* every third: the others are reached from them without further registers */
    for (int r = 0; r < ROWS / 3; r++) rows[r] = a + 3 * r * down;
    for (int r = 0; r < ROWS; r++) { /* so that c is there when the sums are */
        __builtin_prefetch(c + r * row_c, 1);
        __builtin_prefetch(c + r * row_c + ON(COLUMNS) - 1, 1);
    }
#pragma GCC unroll 2
    for (long k = 0; k < K; k++) {
        Lanes first = *(const Lanes *)(b + k * row_b), second = *(const Lanes *)(b + k * row_b + LANES);
        for (int r = 0; r < ROWS; r++) {
            float x = rows[r / 3][r % 3 * down + k * across];
            sums[r][0] += x * first;
            sums[r][1] += x * second;
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++) {
            Lanes *to = (Lanes *)(c + r * row_c + i * LANES);
            if (add) sums[r][i] += *to;
            *to = sums[r][i];
        }
}

/* The same, in fewer instructions where the distances are those of a packed product. */
static void ON(tile)(long K, const float *restrict a, long down, long across, const float *restrict b, long row_b,
                     float *restrict c, long row_c, int add)
{
    if (row_b == ON(COLUMNS) && across == 1) ON(grow)(K, a, down, 1, b, ON(COLUMNS), c, row_c, add);
    else if (row_b == ON(COLUMNS) && across == ROWS && down == 1) ON(grow)(K, a, 1, ROWS, b, ON(COLUMNS), c, row_c, add);
    else ON(grow)(K, a, down, across, b, row_b, c, row_c, add);
}

/* The same for less, at the edges of c: `before` rows of a and c before these are there, and b is whole. The lines of a
   transpose `a` can be read as a whole, too. */
static void ON(edge)(long rows, long columns, long before, long K, const float *a, long down, long across,
                     const float *b, long row_b, float *c, long row_c, int add)
{
    float tile[ROWS * ON(COLUMNS)] = {0}, *first = tile;
    if (across != 1) ON(tile)(K, a, down, across, b, row_b, tile, ON(COLUMNS), 0);
    else if (before >= ROWS - rows) { /* the last ROWS rows */
        ON(tile)(K, a - (ROWS - rows) * down, down, across, b, row_b, tile, ON(COLUMNS), 0);
        first += (ROWS - rows) * ON(COLUMNS);
    } else
        for (long r = 0; r < rows; r++)
            for (long k = 0; k < K; k++)
                for (long j = 0; j < ON(COLUMNS); j++) tile[r * ON(COLUMNS) + j] += a[r * down + k] * b[k * row_b + j];
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < columns; j++)
            c[r * row_c + j] = (add ? c[r * row_c + j] : 0) + first[r * ON(COLUMNS) + j];
}

/* c [M, N] (+)= a [M, K] b [K, N] by tiles, M <= TALL: a panel of COLUMNS columns of b stays in the first cache while
   it meets the rows of a. The panels of `a` hold ROWS rows and are panel_a apart. The rows of `b` are row_b apart, its
   panels panel_b, and can be read as a whole. Of a symmetric result, the tiles are left out that lie wholly below the
   diagonal: those of rows from column + `upper` on. */
static void ON(tiles)(long M, long N, long K, const float *a, long panel_a, long down, long across, const float *b,
                      long row_b, long panel_b, float *c, long row_c, int add, long upper)
{
    for (long n = 0; n < N; n += ON(COLUMNS), b += panel_b) {
        const float *left = a;
        for (long m = 0; m < M && m < upper + n + ON(COLUMNS); m += ROWS, left += panel_a) {
            long rows = M - m < ROWS ? M - m : ROWS, columns = N - n < ON(COLUMNS) ? N - n : ON(COLUMNS);
            float *to = c + m * row_c + n;
            if (rows == ROWS && columns == ON(COLUMNS)) ON(tile)(K, left, down, across, b, row_b, to, row_c, add);
            else ON(edge)(rows, columns, m, K, left, down, across, b, row_b, to, row_c, add);
        }
    }
}

/* b [K, N] in panels of COLUMNS columns, each contiguous, filled up with zeros. Memory is read in its own order: some
   rows of b at a time, or all of a panel's columns. */
static void ON(pack)(float *restrict to, const float *restrict b, long down, long across, long K, long N)
{
    long some = across == 1 ? 8 : K;
    for (long first = 0; first < K; first += some)
        for (long n = 0; n < N; n += ON(COLUMNS)) {
            long columns = N - n < ON(COLUMNS) ? N - n : ON(COLUMNS), end = first + some < K ? first + some : K;
            float *panel = to + n * K;
            if (columns < ON(COLUMNS)) memset(panel + first * ON(COLUMNS), 0, (end - first) * ON(COLUMNS) * sizeof *to);
            if (across == 1 && columns == ON(COLUMNS))
                for (long k = first; k < end; k++)
                    memcpy(panel + k * ON(COLUMNS), b + k * down + n, ON(COLUMNS) * sizeof *to);
            else
                for (long k = first; k < end; k += LANES)
                    for (long j = 0; j < columns; j += LANES) {
                        const float *from = b + k * down + (n + j) * across;
                        if (down == 1 && end - k >= LANES && columns - j >= LANES)
                            ON(turn)(panel + k * ON(COLUMNS) + j, ON(COLUMNS), from, across);
                        else
                            for (long i = 0; i < LANES && i < end - k; i++)
                                for (long l = 0; l < LANES && l < columns - j; l++)
                                    panel[(k + i) * ON(COLUMNS) + j + l] = from[i * down + l * across];
                    }
        }
}

/* c [M, N] (+)= a [M, K] b [K, N], in blocks that stay in the second cache. Of a symmetric c, the
   tiles that lie wholly below the diagonal are left out. `packed`: PACKED numbers. */
static void ON(product)(long M, long N, long K, Matrix a, Matrix b, float *c, long row_c, int add, int symmetric,
                         float *restrict packed)
{
    float *rows = packed + DEEP * WIDE;
    for (long k = 0; k < K; k += DEEP)
        for (long n = 0; n < N; n += WIDE) {
            long deep = K - k < DEEP ? K - k : DEEP, wide = N - n < WIDE ? N - n : WIDE;
            ON(pack)(packed, (const float *)b.at + k * b.down + n * b.across, b.down, b.across, deep, wide);
            for (long m = 0; m < M && (!symmetric || m < n + wide); m += TALL) {
                long tall = M - m < TALL ? M - m : TALL, down = a.down, across = a.across, panel = ROWS * down;
                const float *left = (const float *)a.at + m * down + k * across;
                if (across != 1) { /* a column of it is a row in memory: copied in panels of ROWS */
                    panel = ROWS * deep;
                    for (long r = 0; r < tall; r += ROWS)
                        for (long i = 0; i < deep; i++)
                            if (tall - r >= ROWS) memcpy(rows + r * deep + i * ROWS, left + i * across + r, ROWS * sizeof *rows);
                            else memcpy(rows + r * deep + i * ROWS, left + i * across + r, (tall - r) * sizeof *rows);
                    left = rows, across = ROWS;
                }
                ON(tiles)(tall, wide, deep, left, panel, down, across, packed, ON(COLUMNS), deep * ON(COLUMNS),
                          c + m * row_c + n, row_c, add || k, symmetric ? n - m : M);
            }
        }
}
