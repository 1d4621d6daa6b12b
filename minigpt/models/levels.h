/* Compiles the file CODE for each kind of processor, and chooses among the copies at run time.

   CALL(name, ...) calls name_v4, name_v3 or name_base; inside CODE, ON(name) is the name with its ending. LANES floats
   fill a register, and ROWS rows of a tile fill the registers: see floats.h. With IN_BFLOAT16, a fourth copy multiplies
   in bfloat16 (pairs.h): CALL_AS(asked, name, ...) calls that if asked and the processor can, and CALL otherwise. */

#define GLUED(name, level) name##_##level
#define GLUE(name, level) GLUED(name, level)
#define ON(name) GLUE(name, LEVEL)

#define LEVEL base
#define LANES 4
#define ROWS 6
#include CODE
#undef LEVEL
#undef LANES
#undef ROWS

#if defined(__x86_64__) && defined(__linux__) && __GNUC__ >= 12 && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define LEVEL v3
#define LANES 8
#define ROWS 6
#include CODE
#undef LEVEL
#undef LANES
#undef ROWS
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define LEVEL v4
#define LANES 16
#define ROWS 12
#include CODE
#undef LEVEL
#undef LANES
#undef ROWS
#pragma GCC pop_options

#ifdef IN_BFLOAT16
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,avx512bf16,prefer-vector-width=512")
#define LEVEL bfloat16
#define LANES 16
#define ROWS 12
#define PAIRS
#include CODE
#undef LEVEL
#undef LANES
#undef ROWS
#undef PAIRS
#pragma GCC pop_options
#endif

static int most = 4, found; /* as in x86-64-v4 */

static int level(void)
{
    if (!found)
        found = most >= 4 && __builtin_cpu_supports("x86-64-v4")   ? 4
                : most >= 3 && __builtin_cpu_supports("x86-64-v3") ? 3
                                                                   : 1;
    return found;
}

/* The level in use, which is `highest` at most; 0 changes nothing. */
static int choose_level(int highest)
{
    if (highest) most = highest, found = 0;
    return level();
}
#ifdef IN_BFLOAT16
static int has_bfloat16(void) { return level() == 4 && __builtin_cpu_supports("avx512bf16"); }
#define CALL_AS(asked, name, ...) ((asked) && has_bfloat16() ? name##_bfloat16(__VA_ARGS__) : CALL(name, __VA_ARGS__))
#endif
#define CALL(name, ...) (level() == 4 ? name##_v4(__VA_ARGS__) : level() == 3 ? name##_v3(__VA_ARGS__) : name##_base(__VA_ARGS__))
#else
#define CALL(name, ...) name##_base(__VA_ARGS__)
#define CALL_AS(asked, name, ...) ((void)(asked), CALL(name, __VA_ARGS__))
#ifdef IN_BFLOAT16
static int has_bfloat16(void) { return 0; }
#endif
static int choose_level(int highest) { return (void)highest, 1; }
#endif
