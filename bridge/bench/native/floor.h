/* SPDX-License-Identifier: BSD-3-Clause */
/* floor.h - the round trip that no bridge on this machine can beat by much. */
#ifndef GB_FLOOR_H
#define GB_FLOOR_H

#include <stdint.h>

/*
 * Three processes, no Python: client -> (SOCK_SEQPACKET, 24 bytes) -> relay ->
 * (eventfd) -> peer -> (eventfd) -> relay -> (reply, 24 bytes) -> client. The
 * relay waits with epoll, as any relay between two parties must; the peer
 * blocks in read. Nothing is computed. samples_ns gets `rounds` figures.
 * 0 or -errno (-ETIMEDOUT: a child died).
 */
int gb_bench_floor(uint32_t rounds, uint32_t *samples_ns);

#endif
