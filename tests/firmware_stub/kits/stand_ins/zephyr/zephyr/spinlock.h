/* SPDX-License-Identifier: BSD-3-Clause */
/* spinlock.h - a stand-in for Zephyr's. */
#ifndef STAND_IN_SPINLOCK_H
#define STAND_IN_SPINLOCK_H

struct k_spinlock {
	int unused;
};

typedef struct z_spinlock_key {
	int key;
} k_spinlock_key_t;

k_spinlock_key_t k_spin_lock(struct k_spinlock *l);
void k_spin_unlock(struct k_spinlock *l, k_spinlock_key_t key);

#endif
