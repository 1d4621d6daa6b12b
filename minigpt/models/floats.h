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
static void ON(tile)(long K, const float *restrict a, long down, long across, const float *restrict b, long row_b,
                     float *restrict c, long row_c, int add)
{
    typedef ON(Lanes) Lanes;
    Lanes sums[ROWS][2] = {0};
    const float *rows[ROWS / 3]; /* every third: the others are reached from them without further registers */
    for (int r = 0; r < ROWS / 3; r++) rows[r] = a + 3 * r * down;
    for (long k = 0; k < K; k++, b += row_b) {
        Lanes first = *(const Lanes *)b, second = *(const Lanes *)(b + LANES);
        for (int r = 0; r < ROWS; r++) {
            float x = rows[r / 3][r % 3 * down];
            sums[r][0] += x * first;
            sums[r][1] += x * second;
        }
        for (int r = 0; r < ROWS / 3; r++) rows[r] += across;
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++) {
            Lanes *to = (Lanes *)(c + r * row_c + i * LANES);
            if (add) sums[r][i] += *to;
            *to = sums[r][i];
        }
}

/* The same for less, at the edges of c: `before` rows of a and c before these are there, and b is whole. */
static void ON(edge)(long rows, long columns, long before, long K, const float *a, long down, long across,
                     const float *b, long row_b, float *c, long row_c, int add)
{
    float tile[ROWS * ON(COLUMNS)] = {0}, *first = tile;
    if (before >= ROWS - rows) { /* the last ROWS rows */
        ON(tile)(K, a - (ROWS - rows) * down, down, across, b, row_b, tile, ON(COLUMNS), 0);
        first += (ROWS - rows) * ON(COLUMNS);
    } else
        for (long r = 0; r < rows; r++)
            for (long k = 0; k < K; k++)
                for (long j = 0; j < ON(COLUMNS); j++)
                    tile[r * ON(COLUMNS) + j] += a[r * down + k * across] * b[k * row_b + j];
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < columns; j++)
            c[r * row_c + j] = (add ? c[r * row_c + j] : 0) + first[r * ON(COLUMNS) + j];
}

/* c [M, N] (+)= a [M, K] b [K, N] by tiles, M <= TALL: a panel of COLUMNS columns of b stays in the first cache while
   it meets the rows of a. The rows of `b` are row_b apart, its panels panel_b, and can be read as a whole. Of a
   symmetric result, the tiles are left out that lie wholly below the diagonal: those of rows from column + `upper` on. */
static void ON(tiles)(long M, long N, long K, const float *a, long down, long across, const float *b, long row_b,
                      long panel_b, float *c, long row_c, int add, long upper)
{
    for (long n = 0; n < N; n += ON(COLUMNS), b += panel_b)
        for (long m = 0; m < M && m < upper + n + ON(COLUMNS); m += ROWS) {
            long rows = M - m < ROWS ? M - m : ROWS, columns = N - n < ON(COLUMNS) ? N - n : ON(COLUMNS);
            const float *left = a + m * down;
            float *to = c + m * row_c + n;
            if (rows == ROWS && columns == ON(COLUMNS)) ON(tile)(K, left, down, across, b, row_b, to, row_c, add);
            else ON(edge)(rows, columns, m, K, left, down, across, b, row_b, to, row_c, add);
        }
}

/* b [K, N] in panels of COLUMNS columns, each contiguous, filled up with zeros. */
static void ON(pack)(float *restrict to, const float *restrict b, long down, long across, long K, long N)
{
    for (long n = 0; n < N; n += ON(COLUMNS), to += K * ON(COLUMNS)) {
        long columns = N - n < ON(COLUMNS) ? N - n : ON(COLUMNS);
        if (columns < ON(COLUMNS)) memset(to, 0, K * ON(COLUMNS) * sizeof *to);
        if (across == 1 && columns == ON(COLUMNS))
            for (long k = 0; k < K; k++)
                for (int i = 0; i < 2; i++)
                    *(ON(Lanes) *)(to + k * ON(COLUMNS) + i * LANES) = *(const ON(Lanes) *)(b + k * down + n + i * LANES);
        else
            for (long k = 0; k < K; k += 8)
                for (long j = 0; j < columns; j++)
                    for (long i = k; i < k + 8 && i < K; i++) to[i * ON(COLUMNS) + j] = b[i * down + (n + j) * across];
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
                long tall = M - m < TALL ? M - m : TALL, down = a.down, across = a.across;
                const float *left = (const float *)a.at + m * down + k * across;
                if (across != 1) { /* a column of it is a row in memory */
                    for (long i = 0; i < deep; i++) memcpy(rows + i * TALL, left + i * across, tall * sizeof *rows);
                    left = rows, down = 1, across = TALL;
                }
                ON(tiles)(tall, wide, deep, left, down, across, packed, ON(COLUMNS), deep * ON(COLUMNS),
                          c + m * row_c + n, row_c, add || k, symmetric ? n - m : M);
            }
        }
}
