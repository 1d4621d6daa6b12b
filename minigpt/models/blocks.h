/* The sizes of blocks in floats.h and pairs.h, which are the same for every kind of processor. */

enum {
    DEEP = 256, /* rows, and WIDE columns, of a block of the right side of a product */
    WIDE = 512,
    TALL = 48,  /* rows of its left side: a multiple of every ROWS */
    PACKED = DEEP * (WIDE + TALL),
    SUMS = 32,
};

typedef struct { const float *at; long down, across; } Matrix; /* element (i, j) is at[i * down + j * across] */
