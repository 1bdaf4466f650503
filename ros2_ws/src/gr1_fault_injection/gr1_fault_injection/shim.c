/* Preloaded into nodes under test: their wall clock can be set, and their network can be cut, without privileges.
 *
 * GR1_FAULTS names a file of three int64 that is mapped into memory: nanoseconds by which the wall clock is off, whether the network
 * is cut, and nanoseconds that the computer has slept. The steady clock is left alone. Whoever waits until a moment of the shifted wall clock waits until the true one instead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static const volatile int64_t nothing[3];
static const volatile int64_t *faults = nothing;

__attribute__((constructor)) static void map_faults(void) {
    const char *path = getenv("GR1_FAULTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *there = mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (there != MAP_FAILED)
        faults = there;
}

static void *real(const char *name) {
    /* The old default version of pthread_cond_* is another function. */
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return found ? found : dlsym(RTLD_NEXT, name);
}

#define REAL(name) static __typeof__(name) *call; if (!call) call = (__typeof__(name) *)real(#name)

static void shift(struct timespec *time, int64_t by) {
    int64_t ns = time->tv_sec * BILLION + time->tv_nsec + by;
    time->tv_sec = ns / BILLION;
    time->tv_nsec = ns % BILLION;
}

/* A deadline given without its clock: steady clocks count from the start of the computer, which was not thirty years ago. */
static struct timespec truly(const struct timespec *deadline) {
    struct timespec time = *deadline;
    if (time.tv_sec > BILLION)
        shift(&time, -faults[0]);
    return time;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(clock_gettime);
    int code = call(clock, time);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(time, faults[0]);
    if (code == 0 && clock == CLOCK_BOOTTIME)
        shift(time, faults[2]);
    return code;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
    REAL(pthread_cond_timedwait);
    struct timespec time = truly(deadline);
    return call(condition, mutex, &time);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict deadline) {
    REAL(pthread_cond_clockwait);
    struct timespec time = truly(deadline);
    return call(condition, mutex, clock, &time);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
    REAL(pthread_mutex_timedlock);
    struct timespec time = truly(deadline);
    return call(mutex, &time);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
    REAL(sem_timedwait);
    struct timespec time = truly(deadline);
    return call(semaphore, &time);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict deadline) {
    REAL(sem_clockwait);
    struct timespec time = truly(deadline);
    return call(semaphore, clock, &time);
}

static int is_network(int socket) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && (domain == AF_INET || domain == AF_INET6);
}

static int is_cut(int socket) { return faults[1] && is_network(socket); }

ssize_t sendto(int socket, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    REAL(sendto);
    return is_cut(socket) ? (ssize_t)length : call(socket, data, length, flags, to, size);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    if (!is_cut(socket))
        return call(socket, message, flags);
    ssize_t length = 0;
    for (size_t part = 0; part < message->msg_iovlen; part++)
        length += message->msg_iov[part].iov_len;
    return length;
}

/* What arrives while the network is cut is thrown away, and the caller goes on waiting; 0 says that the socket was shut down. */
ssize_t recvfrom(int socket, void *restrict data, size_t length, int flags, struct sockaddr *restrict from, socklen_t *restrict size) {
    REAL(recvfrom);
    socklen_t room = size ? *size : 0;
    ssize_t got;
    do {
        if (size)
            *size = room;
        got = call(socket, data, length, flags, from, size);
    } while (got > 0 && is_cut(socket));
    return got;
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags) {
    REAL(recvmsg);
    struct msghdr asked = *message;
    ssize_t got;
    do {
        *message = asked;
        got = call(socket, message, flags);
    } while (got > 0 && is_cut(socket));
    return got;
}
