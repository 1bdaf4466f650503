/* The stand-in arm: all of its state in one file mapped into memory, so that it lives on when the process that drives it is killed.
 * A test maps the same file, reads what happened and sets faults while the driver runs. Mirrored by World in __init__.py. */
#ifndef WORLD_H
#define WORLD_H

#include <pthread.h>
#include <stdint.h>

enum { FIFO = 2000, LOG = 4096, FUNCTIONS = 24, DEVICES = 4, ORDER = 1024, LATEST = 16 };

typedef struct {
    float v[6];      /* m/s in the base frame, rad/s in the end effector's frame */
    float fingers[3];
    int32_t type, hand_mode;
} Point;

typedef struct {
    double at;       /* s on the steady clock, when the driver sent it */
    Point point;
} Sent;

typedef struct {
    int32_t code;    /* what the function returns instead of doing its work */
    int32_t times;   /* how often; -1: always */
    int32_t latency_us;
    int32_t calls;
} Function;

typedef struct {
    pthread_mutex_t mutex;
    char padding[64 - sizeof(pthread_mutex_t)];

    /* Settings: a test writes them, also while the driver runs */
    double period;          /* s between two points that the arm takes from its queue: 10 ms, or a faster clock */
    double home_s, fingers_s;
    double home_pose[7];    /* m and quaternion xyzw: where MoveHome leads */
    float joints[7], joint_velocities[7], force[6]; /* degrees, true degrees a second, N and Nm */
    double acceleration[2]; /* m/s2 and rad/s2: it changes its velocity no faster */
    int32_t lag;            /* points that it is late, at most LATEST - 1 */
    float finger_stop;      /* an object between the fingers: how far they close */
    int32_t plugged, epoch, timeout_us;
    int32_t robot_type, devices, blocking_home, held;
    char serials[DEVICES][20];
    Function functions[FUNCTIONS];

    /* State */
    double next;            /* s on the steady clock: when the arm takes its next point */
    double commanded[7], measured[7]; /* the vendor's end effector: m, quaternion xyzw */
    double velocity[6];     /* m/s in the base frame, rad/s in the end effector's frame */
    float coming[LATEST][6]; /* the points of the last ticks, in turn */
    int32_t turn;
    double home_begun;      /* 0: not on the way home */
    double home_from[7];
    float fingers[3];
    int32_t retract, fingers_known, control, cartesian;
    uint32_t config[7];     /* of InitEthernetAPI: local, mask, robot, the three ports, time-out */

    /* What happened */
    int32_t waiting, first, deepest, overlaps, aborts;
    int64_t consumed, starved, ignored, erased, overflowed, sent;
    int64_t ordered;
    int32_t order[ORDER];   /* the last calls, by the function's number */
    Point fifo[FIFO];
    Sent log[LOG];          /* the last points sent: number n is log[n % LOG] */
} World;

#endif
