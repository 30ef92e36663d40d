/* SPDX-License-Identifier: BSD-3-Clause */
/* kthread.h - a stand-in for NuttX's. */
#ifndef STAND_IN_KTHREAD_H
#define STAND_IN_KTHREAD_H

typedef int (*main_t)(int argc, char *argv[]);

int kthread_create(const char *name, int priority, int stack_size, main_t entry,
		   char *const argv[]);

#endif
