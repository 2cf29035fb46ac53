/* Preloaded into a device: the wall clock is off by as many seconds as the file $CLOCK_OFF says, and the monotonic one by as many as
   $UPTIME_OFF says, if there is one. What waits by the monotonic clock until a moment, such as sleep, must not be used then. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long off(const char *name) {
    long seconds = 0;
    const char *path = getenv(name);
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += off("CLOCK_OFF");
    if (!failed && clock == CLOCK_MONOTONIC) now->tv_sec += off("UPTIME_OFF");
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && now) now->tv_sec += off("CLOCK_OFF");
    return failed;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
