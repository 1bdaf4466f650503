#ifndef ARM_H
#define ARM_H

#include "world.h"

double now(void);                       /* s on the steady clock */
void wait_until(double due);
void hold(World *);                     /* the world's mutex, also after its owner was killed */
void release(World *);
void world_create(World *);             /* after the settings are written */
void advance(World *);                  /* everything that the arm has done until now */
int moving(const World *);              /* whether it has a velocity, or points that it is late for */
void enqueue(World *, const Point *);
void erase(World *);
void euler(const double q[4], float angles[3]); /* quaternion xyzw -> intrinsic XYZ, rad */

#endif
