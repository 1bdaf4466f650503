/* The arm's side of the stand-in: what it does with the points, by the steady clock, computed whenever somebody looks. */
#include "arm.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

static const double STEP = 0.01; /* s of motion in one point, however fast a test lets the clock run */

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

void wait_until(double due) {
    struct timespec t = {(time_t)due, (long)(1e9 * (due - floor(due)))};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

void hold(World *w) {
    if (pthread_mutex_lock(&w->mutex) == EOWNERDEAD) pthread_mutex_consistent(&w->mutex); /* its last owner was killed */
}

void release(World *w) { pthread_mutex_unlock(&w->mutex); }

void world_create(World *w) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&w->mutex, &kind);
    w->next = now() + w->period;
}

/* q <- q * exp(w dt), w in the turning frame */
static void turn(double q[4], const float w[3], double dt) {
    double angle = dt * sqrt((double)w[0] * w[0] + (double)w[1] * w[1] + (double)w[2] * w[2]);
    if (angle == 0) return;
    double s = sin(angle / 2) / angle * dt, c = cos(angle / 2), x = w[0] * s, y = w[1] * s, z = w[2] * s;
    double r[4] = {q[3] * x + q[0] * c + q[1] * z - q[2] * y, q[3] * y + q[1] * c + q[2] * x - q[0] * z,
                   q[3] * z + q[2] * c + q[0] * y - q[1] * x, q[3] * c - q[0] * x - q[1] * y - q[2] * z};
    double norm = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] + r[3] * r[3]);
    for (int i = 0; i < 4; i++) q[i] = r[i] / norm;
}

/* One tick: the velocity follows the point of `lag` ticks ago, as fast as the arm can. */
static void move(World *w, const float v[6]) {
    memcpy(w->coming[w->turn], v, sizeof w->coming[0]);
    const float *wanted = w->coming[(w->turn + LATEST - w->lag) % LATEST];
    w->turn = (w->turn + 1) % LATEST;
    for (int part = 0; part < 2; part++) {
        double change[3], size = 0, most = w->acceleration[part] * STEP;
        for (int i = 0; i < 3; i++) {
            change[i] = wanted[3 * part + i] - w->velocity[3 * part + i];
            size += change[i] * change[i];
        }
        size = sqrt(size);
        for (int i = 0; i < 3; i++) w->velocity[3 * part + i] += size > most ? change[i] * most / size : change[i];
    }
    for (int i = 0; i < 3; i++) w->commanded[i] += w->velocity[i] * STEP;
    float angular[3] = {(float)w->velocity[3], (float)w->velocity[4], (float)w->velocity[5]};
    turn(w->commanded + 3, angular, STEP);
    if (!w->held) memcpy(w->measured, w->commanded, sizeof w->measured);
}

int moving(const World *w) {
    for (int i = 0; i < 6; i++) {
        if (w->velocity[i] != 0) return 1;
        for (int n = 0; n < w->lag; n++)
            if (w->coming[(w->turn + LATEST - 1 - n) % LATEST][i] != 0) return 1;
    }
    return 0;
}

static void carry_out(World *w, const Point *p) {
    int moves = 0;
    move(w, p->v);
    for (int i = 0; i < 6; i++) moves |= p->v[i] != 0;
    if (moves) w->retract = 5;
    for (int i = 0; p->hand_mode != 0 && i < 3; i++) { /* in a velocity point fingers are velocities, whatever the mode says */
        float f = w->fingers[i] + p->fingers[i] * (float)STEP;
        w->fingers[i] = f < 0 ? 0 : f > w->finger_stop ? w->finger_stop : f;
    }
}

static void go_home(World *w, double t) {
    memset(w->velocity, 0, sizeof w->velocity);
    memset(w->coming, 0, sizeof w->coming);
    double share = (t - w->home_begun) / w->home_s, *to = w->home_pose, *from = w->home_from, norm = 0;
    int arrived = share >= 1;
    for (int i = 0; i < 7; i++) w->commanded[i] = arrived ? to[i] : from[i] + share * (to[i] - from[i]);
    for (int i = 3; i < 7; i++) norm += w->commanded[i] * w->commanded[i];
    for (int i = 3; i < 7; i++) w->commanded[i] /= sqrt(norm);
    memcpy(w->measured, w->commanded, sizeof w->measured);
    if (arrived) w->home_begun = 0, w->retract = 1;
}

void advance(World *w) {
    double t = now();
    if (w->home_begun) go_home(w, t);
    while (w->next <= t) {
        if (w->waiting) {
            carry_out(w, &w->fifo[w->first]);
            w->first = (w->first + 1) % FIFO, w->waiting--, w->consumed++;
            w->next += w->period;
        } else if (moving(w)) { /* no point: it brakes */
            static const float rest[6];
            move(w, rest);
            w->starved++, w->next += w->period;
        } else {
            int64_t ticks = (int64_t)((t - w->next) / w->period) + 1;
            w->starved += ticks, w->next += ticks * w->period;
        }
    }
}

void enqueue(World *w, const Point *p) {
    Sent *s = &w->log[w->sent++ % LOG];
    s->at = now(), s->point = *p;
    if (!w->control || !w->cartesian || p->type != 7 || w->home_begun) {
        w->ignored++; /* and the function returns 1 all the same */
    } else if (w->waiting == FIFO) {
        w->overflowed++;
    } else {
        w->fifo[(w->first + w->waiting++) % FIFO] = *p;
        if (w->waiting > w->deepest) w->deepest = w->waiting;
    }
}

void erase(World *w) {
    w->erased += w->waiting, w->waiting = 0;
    if (w->home_begun) w->home_begun = 0, w->retract = 5;
    w->aborts++;
}

void euler(const double q[4], float angles[3]) {
    double x = q[0], y = q[1], z = q[2], s = q[3];
    angles[0] = (float)atan2(2 * (s * x - y * z), 1 - 2 * (x * x + y * y));
    angles[1] = (float)asin(fmax(-1, fmin(1, 2 * (x * z + s * y))));
    angles[2] = (float)atan2(2 * (s * z - x * y), 1 - 2 * (y * y + z * z));
}
