/* The time of day, shifted by the seconds that the file SHIFTED_CLOCK holds: for the fault of the clock in benchmarks/_faults.py.

   Loaded before all else (LD_PRELOAD).  Only CLOCK_REALTIME moves, as when a machine's clock is set; monotonic clocks go on.  Waits
   until a moment of the time of day are given to the kernel in its own time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long shift(void) {
    const char *path = getenv("SHIFTED_CLOCK");
    long seconds = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int code = syscall(SYS_clock_gettime, clock, now);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

static struct timespec unshifted(const struct timespec *moment) {
    struct timespec until = *moment;
    if (until.tv_sec > 1000000000) until.tv_sec -= shift(); /* else a monotonic clock's */
    return until;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict moment) {
    struct timespec until = unshifted(moment);
    return REAL(sem_timedwait)(semaphore, &until);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict moment) {
    struct timespec until = unshifted(moment);
    return REAL(pthread_cond_timedwait)(condition, mutex, &until);
}
