/* The sizes of blocks in floats.h and pairs.h, which are the same for every kind of processor. */

enum {
    DEEP = 256, /* rows, and WIDE columns, of a block of the right side of a product */
    WIDE = 512,
    TALL = 48,  /* rows of its left side: a multiple of every ROWS */
    PACKED = DEEP * (WIDE + TALL),
    SUMS = 32,
};

/* Element (i, j) is number i * down + j * across: a float, or, in a matrix that was `stored`, as floats.h and pairs.h have it. */
typedef struct { const void *at; long down, across; int stored; } Matrix;
