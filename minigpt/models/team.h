/* Threads that compute a pass together, and wait for each other within it.

   They are the library's own: it needs no OpenMP, which Apple's compiler lacks. A thread that waits looks again and again
   for a while, because being woken takes longer than a small model's whole step; then it yields its core to other
   programs, and between passes it falls asleep. One pass at a time has the team. Another that begins meanwhile, in
   another thread of Python's, is computed by its own thread alone, with the same result. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum {
    MOST_THREADS = 256,
    LINE = 128, /* bytes: a line of the cache, or the two that some processors read together */
    LOOKS = 1000,
    AWAKE = 2000000, /* nanoseconds after a pass */
};

typedef struct {
    long number, count; /* of this thread, and how many there are */
} Thread;

typedef void Work(const void *what, Thread me);

typedef struct {
    _Alignas(LINE) atomic_ulong begun; /* how many passes; the four below belong to the last one */
    Work *work;
    const void *what;
    long count;
    unsigned long met_before;
    atomic_int core; /* on which it began the last pass */
    atomic_int asleep;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    _Alignas(LINE) atomic_ulong met; /* how often it has come to a meeting */
} Seat;

/* The first belongs to whoever asks for a pass, the others to threads that live as long as the process. */
static Seat seats[MOST_THREADS];
static long seated = 1;
static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER;

static void hold_on(long looks)
{
    if (looks > LOOKS) sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns when all threads of the pass are here. What each has written before, all can read afterwards. */
static void meet(Thread me)
{
    if (me.count == 1) return;
    unsigned long now = atomic_load_explicit(&seats[me.number].met, memory_order_relaxed) + 1;
    atomic_store_explicit(&seats[me.number].met, now, memory_order_release);
    for (long other = 0, looks = 0; other < me.count; other++, looks = 0)
        while (atomic_load_explicit(&seats[other].met, memory_order_acquire) < now) hold_on(looks++);
}

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Returns when another pass has begun than the last one. */
static void await_pass(Seat *seat, unsigned long last)
{
    long long since = 0;
    for (long looks = 0; atomic_load(&seat->begun) == last; looks++) {
        hold_on(looks);
        if (looks == LOOKS) since = nanoseconds();
        if (looks <= LOOKS || nanoseconds() - since < AWAKE) continue;
        pthread_mutex_lock(&seat->lock);
        atomic_store(&seat->asleep, 1);
        while (atomic_load(&seat->begun) == last) pthread_cond_wait(&seat->woken, &seat->lock);
        atomic_store(&seat->asleep, 0);
        pthread_mutex_unlock(&seat->lock);
    }
}

/* Moves the thread off a core on which one before it began its last pass. Left to itself, Linux may wake it there, and
   take a tenth of a second to find out that another core is idle. The thread may then use the same cores as before. */
static void find_core(Seat *seat)
{
#ifdef __linux__
    int core = sched_getcpu(), is_taken = 0;
    cpu_set_t allowed, others;
    for (Seat *before = seats; before < seat; before++) is_taken |= atomic_load(&before->core) == core;
    if (is_taken && !sched_getaffinity(0, sizeof allowed, &allowed)) {
        others = allowed;
        for (Seat *before = seats; before < seat; before++) CPU_CLR(atomic_load(&before->core), &others);
        if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others)) {
            core = sched_getcpu();
            if (sched_setaffinity(0, sizeof allowed, &allowed)) { /* none of these is left: whichever there are */
                memset(&allowed, 0xff, sizeof allowed);
                sched_setaffinity(0, sizeof allowed, &allowed);
            }
        }
    }
    atomic_store(&seat->core, core);
#else
    (void)seat;
#endif
}

static void *take_part(void *of)
{
    Seat *seat = of;
    for (unsigned long last = 0;; last++) {
        await_pass(seat, last);
        find_core(seat);
        Thread me = {seat - seats, seat->count};
        atomic_store_explicit(&seat->met, seat->met_before, memory_order_relaxed);
        seat->work(seat->what, me);
        meet(me);
    }
    return NULL;
}

/* A process that was forked has none of the threads. */
static void forget_threads(void)
{
    seated = 1;
    memset(seats, 0, sizeof seats);
    pthread_mutex_init(&in_use, NULL);
}

/* Starts threads until there are `count` in all, or until the system allows no more; returns how many can be used. */
static long start_threads(long count)
{
    static int prepared;
    if (!prepared) prepared = !pthread_atfork(NULL, NULL, forget_threads);
    for (; seated < count && seated < MOST_THREADS; seated++) {
        Seat *next = &seats[seated];
        pthread_t thread;
        pthread_mutex_init(&next->lock, NULL);
        pthread_cond_init(&next->woken, NULL);
        if (pthread_create(&thread, NULL, take_part, next)) break;
        pthread_detach(thread);
    }
    return count < seated ? count : seated;
}

/* Calls work(what, ...) in `count` threads, or in fewer, and returns when all have ended. */
static void share(Work *work, const void *what, long count)
{
    if (count == 1 || pthread_mutex_trylock(&in_use)) {
        work(what, (Thread){0, 1});
        return;
    }
    count = start_threads(count);
    find_core(seats);
    for (long number = 1; number < count; number++) {
        Seat *seat = &seats[number];
        seat->work = work, seat->what = what, seat->count = count;
        seat->met_before = atomic_load_explicit(&seats[0].met, memory_order_relaxed);
        atomic_fetch_add(&seat->begun, 1);
        if (!atomic_load(&seat->asleep)) continue;
        pthread_mutex_lock(&seat->lock);
        pthread_cond_signal(&seat->woken);
        pthread_mutex_unlock(&seat->lock);
    }
    Thread me = {0, count};
    work(what, me);
    meet(me);
    pthread_mutex_unlock(&in_use);
}
