/* A stand-in for the vendor's command layer: the same symbols, struct layouts and habits, written from published facts and from what the
 * real library (5.2.0) answers without an arm. PREFIX is empty for USB and Ethernet_ for Ethernet; COMM is the communication layer. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arm.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define API(name) __attribute__((visibility("default"))) int JOIN(PREFIX, name)

typedef struct { float xyz[3], angles[3]; } CartesianInfo;
typedef struct { float joints[7]; } AngularInfo;
typedef struct { float f[3]; } Fingers;
typedef struct { CartesianInfo pose; Fingers fingers; } CartesianPosition;
typedef struct { AngularInfo joints; Fingers fingers; } AngularPosition;
typedef struct { int type; float delay; CartesianInfo cartesian; AngularInfo joints; int hand_mode; Fingers fingers; } UserPosition;
typedef struct { UserPosition position; int limited, synchro; float limits[9]; } TrajectoryPoint;
typedef struct { unsigned count; float percent; unsigned size; } TrajectoryFIFO;
typedef struct { unsigned char fingers[3], retract, unused[7], robot_type, more[2]; } QuickStatus;
typedef struct { char serial[20], model[20]; int version[3], type, id; } KinovaDevice;
typedef struct { unsigned long local, mask, robot; unsigned short command_port, broadcast_port, robot_port; unsigned long timeout_ms; } EthernetConfig;

_Static_assert(sizeof(CartesianPosition) == 36 && sizeof(AngularPosition) == 40, "positions");
_Static_assert(sizeof(UserPosition) == 76 && offsetof(UserPosition, hand_mode) == 60, "UserPosition");
_Static_assert(sizeof(TrajectoryPoint) == 120 && offsetof(TrajectoryPoint, limits) == 84, "TrajectoryPoint");
_Static_assert(sizeof(QuickStatus) == 14 && offsetof(QuickStatus, robot_type) == 11, "QuickStatus");
_Static_assert(sizeof(KinovaDevice) == 60 && sizeof(EthernetConfig) == 40 && sizeof(TrajectoryFIFO) == 12, "devices");

enum { OK = 1, BROKEN = 1007, UNINITIALISED = 1010, NO_DEVICE = 1015, TIMEOUT = 1022, NO_COMM = 2002 };
enum { INIT, REFRESH, DEVICES_, SELECT, CLOSE, START, STOP, HOME, FINGERS, CARTESIAN, ERASE, SEND, STATUS, QUEUE,
       POSITION, COMMAND, FORCE, ANGLES, VELOCITY, VERSION };

static World *world;
static int epoch = -1, started, crashed;
static atomic_int inside;

static World *look(void) {
    if (!world) {
        int file = open(getenv("KINOVA_STANDIN_WORLD"), O_RDWR);
        world = mmap(NULL, sizeof(World), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
    }
    return world;
}

/* Every function begins here: counts, takes its time, and returns the code that a test has put in its place (0: none). */
static int begin(int function) {
    World *w = look();
    if (crashed) raise(SIGSEGV); /* what the real one does with any call after 2002 */
    hold(w);
    if (atomic_fetch_add(&inside, 1)) w->overlaps++;
    Function *f = &w->functions[function];
    int code = f->times ? f->code : 0, latency = f->latency_us;
    if (f->times > 0) f->times--;
    f->calls++;
    w->order[w->ordered++ % ORDER] = function;
    release(w);
    if (latency) usleep(latency);
    hold(w);
    advance(w);
    return code;
}

static int end(int code) {
    World *w = world;
    int timeout = code == TIMEOUT ? w->timeout_us : 0;
    release(w);
    if (timeout) usleep(timeout);
    atomic_fetch_sub(&inside, 1);
    return code;
}

/* Whether the arm answers. */
static int reached(void) {
    if (epoch < 0) return NO_DEVICE;
    return !world->plugged ? TIMEOUT : epoch != world->epoch ? BROKEN : OK;
}

#define BEGIN(function) do { int code_ = begin(function); if (code_) return end(code_); } while (0)
#define REACH(function) do { BEGIN(function); int code_ = reached(); if (code_ != OK) return end(code_); } while (0)

static int initialise(const EthernetConfig *config) {
    BEGIN(INIT);
    if (!dlopen(COMM, RTLD_NOW)) {
        crashed = 1;
        return end(NO_COMM);
    }
    if (config) {
        uint32_t c[7] = {(uint32_t)config->local, (uint32_t)config->mask, (uint32_t)config->robot, config->command_port,
                         config->broadcast_port, config->robot_port, (uint32_t)config->timeout_ms};
        memcpy(world->config, c, sizeof c);
    }
    if (started) return end(OK); /* whatever the first start said: only CloseAPI lets it look again */
    started = 1;
    epoch = world->plugged ? world->epoch : -1;
    return end(world->plugged || config ? OK : NO_DEVICE); /* on a network it cannot know yet */
}

API(InitAPI)(void) { return initialise(NULL); }
API(InitEthernetAPI)(const EthernetConfig *config) { return initialise(config); }
API(RefresDevicesList)(void) { BEGIN(REFRESH); return end(epoch < 0 ? 1001 : OK); }

API(GetDevices)(KinovaDevice *devices, int *result) {
    int code = begin(DEVICES_), count = epoch < 0 ? 0 : world->devices;
    *result = code ? code : epoch < 0 ? UNINITIALISED : OK;
    for (int i = 0; i < count; i++) {
        KinovaDevice d = {.model = "j2s7s300", .version = {6, 2, 5}, .type = 3, .id = i};
        memcpy(d.serial, world->serials[i], sizeof d.serial);
        devices[i] = d;
    }
    end(OK);
    return count;
}

API(SetActiveDevice)(KinovaDevice device) {
    REACH(SELECT);
    for (int i = 0; i < world->devices; i++)
        if (!strncmp(device.serial, world->serials[i], sizeof device.serial)) return end(OK);
    return end(NO_DEVICE);
}

/* These five say 1 whatever happens. */
API(CloseAPI)(void) { BEGIN(CLOSE); epoch = -1, started = 0; return end(OK); }
API(StartControlAPI)(void) { BEGIN(START); if (reached() == OK) world->control = 1; return end(OK); }
API(StopControlAPI)(void) { BEGIN(STOP); if (reached() == OK) { world->control = 0; erase(world); } return end(OK); }
API(EraseAllTrajectories)(void) { BEGIN(ERASE); if (reached() == OK) erase(world); return end(OK); }

API(MoveHome)(void) {
    BEGIN(HOME);
    if (reached() == OK && world->retract != 1 && world->control) {
        memcpy(world->home_from, world->commanded, sizeof world->home_from);
        world->home_begun = now(), world->retract = 0;
    }
    int aborts = world->aborts, blocks = world->blocking_home;
    while (blocks && (reached() != OK || world->retract != 1) && world->aborts == aborts) { /* without an answer: for ever */
        release(world);
        wait_until(now() + 0.002);
        hold(world);
        advance(world);
    }
    return end(OK);
}

API(InitFingers)(void) {
    REACH(FINGERS);
    double due = now() + world->fingers_s;
    release(world);
    wait_until(due);
    hold(world);
    memset(world->fingers, 0, sizeof world->fingers);
    world->fingers_known = 1;
    return end(OK);
}

API(SetCartesianControl)(void) { REACH(CARTESIAN); world->cartesian = world->retract == 1 || world->retract == 5; return end(OK); }

API(SendAdvanceTrajectory)(TrajectoryPoint t) {
    REACH(SEND);
    Point p = {.type = t.position.type, .hand_mode = t.position.hand_mode};
    memcpy(p.v, &t.position.cartesian, sizeof p.v);
    memcpy(p.fingers, t.position.fingers.f, sizeof p.fingers);
    enqueue(world, &p);
    return end(OK);
}

API(GetQuickStatus)(QuickStatus *s) {
    REACH(STATUS);
    QuickStatus status = {.retract = (unsigned char)world->retract, .robot_type = (unsigned char)world->robot_type};
    memset(status.fingers, world->fingers_known, sizeof status.fingers);
    *s = status;
    return end(OK);
}

API(GetGlobalTrajectoryInfo)(TrajectoryFIFO *f) {
    REACH(QUEUE);
    *f = (TrajectoryFIFO){(unsigned)world->waiting, 100.0f * (float)world->waiting / FIFO, FIFO};
    return end(OK);
}

static int pose(int function, const double *from, CartesianPosition *to) {
    REACH(function);
    for (int i = 0; i < 3; i++) to->pose.xyz[i] = (float)from[i];
    euler(from + 3, to->pose.angles);
    memcpy(to->fingers.f, world->fingers, sizeof to->fingers.f);
    return end(OK);
}

API(GetCartesianPosition)(CartesianPosition *p) { return pose(POSITION, look()->measured, p); }
API(GetCartesianCommand)(CartesianPosition *p) { return pose(COMMAND, look()->commanded, p); }
API(GetCartesianForce)(CartesianPosition *p) { REACH(FORCE); memcpy(&p->pose, world->force, sizeof p->pose); return end(OK); }

API(GetAngularPosition)(AngularPosition *p) { REACH(ANGLES); memcpy(&p->joints, world->joints, sizeof p->joints); return end(OK); }
API(GetAngularVelocity)(AngularPosition *p) {
    REACH(VELOCITY);
    for (int i = 0; i < 7; i++) p->joints.joints[i] = world->joint_velocities[i] / 2; /* half the true one */
    return end(OK);
}

API(GetAPIVersion)(int *version) { BEGIN(VERSION); version[0] = 5, version[1] = 2, version[2] = 0; return end(OK); }

/* For the tests only */
API(standin_forget)(void) { world = NULL, epoch = -1, started = crashed = 0; return 0; }
API(standin_moving)(World *w) { hold(w); int moves = moving(w); release(w); return moves; }
API(standin_size)(void) { return sizeof(World); }
API(standin_create)(World *w) { world_create(w); return 0; }
API(standin_advance)(World *w) { hold(w); advance(w); release(w); return 0; }
