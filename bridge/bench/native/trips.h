/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trips.h - round trips, timed one after the other: by our own client, and the least that
 * the same firmware allows.
 *
 * Each ends after `duration_ns`, or when there are `rounds` figures in samples_ns. How many
 * there are, or -errno.
 */
#ifndef GB_TRIPS_H
#define GB_TRIPS_H

#include <stdint.h>

/* The client of a request of one line. */
struct gb_bench_client {
	int operation_fd;
	/* Of a client in the pump's process, else NULL: gb_direct_operate() of the module of C that
	 * has the pump, and its struct gb_direct. */
	void *operate, *direct;
};

/* A GET. */
int64_t gb_bench_client_get(const struct gb_bench_client *way, uint64_t duration_ns,
			    uint32_t rounds, uint32_t *samples_ns);
/* From before the SET of the one line to the event of the other, which is wired to it, out of the
 * ring (a memfd) behind its bell. The output is inactive at first. */
int64_t gb_bench_client_edge(const struct gb_bench_client *way, int bell, int ring_fd,
			     uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns);

/* GET_VALUE by write(2) and read(2), which block, on an rpmsg endpoint. */
int64_t gb_bench_device_get(int fd, uint16_t gpio, uint64_t duration_ns, uint32_t rounds,
			    uint32_t *samples_ns);
/* GET_VALUE on a channel of an opened link (struct gb_link *) that the calling thread alone
 * drives: its rings or frames, and one wait. The link is closed. why[] gets a sentence
 * where the link has one. */
int64_t gb_bench_link_get(void *link, const char *channel, uint16_t gpio, char why[160],
			  uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns);

#endif
