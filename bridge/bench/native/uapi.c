/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 1024
#define AT_ONCE 256

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The descriptor of a request, -errno. */
static int request_lines(const char *path, struct gpio_v2_line_request *request)
{
	int chip = open(path, O_RDWR | O_CLOEXEC), error = 0;

	if (chip < 0)
		return -errno;
	if (ioctl(chip, GPIO_V2_GET_LINE_IOCTL, request) < 0)
		error = -errno;
	close(chip);
	return error ? error : request->fd;
}

int gb_bench_uapi_get(const char *path, uint32_t offset, uint32_t rounds, uint32_t *samples_ns)
{
	struct gpio_v2_line_request request = {
		.num_lines = 1, .offsets = {offset}, .config.flags = GPIO_V2_LINE_FLAG_INPUT,
	};
	int fd = request_lines(path, &request), error = 0;

	for (uint32_t i = 0; fd >= 0 && !error && i < rounds; i++) {
		struct gpio_v2_line_values values = {.mask = 1};
		uint64_t start = now_ns();

		if (ioctl(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values) < 0)
			error = -errno;
		samples_ns[i] = (uint32_t)(now_ns() - start);
	}
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : error;
}

int gb_bench_uapi_watch(const char *path, uint32_t lines)
{
	struct gpio_v2_line_request request = {
		.num_lines = lines, .event_buffer_size = BUFFER,
		.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING |
				GPIO_V2_LINE_FLAG_EDGE_FALLING,
	};

	for (uint32_t i = 0; i < lines; i++)
		request.offsets[i] = i;
	return request_lines(path, &request);
}

int gb_bench_uapi_edges(int fd, uint32_t count, uint32_t timeout_ms,
			struct gb_bench_edges_read *result)
{
	struct gpio_v2_line_event events[AT_ONCE];
	struct pollfd end = {.fd = fd, .events = POLLIN};

	memset(result, 0, sizeof(*result));
	while (result->last < count && poll(&end, 1, (int)timeout_ms) == 1) {
		ssize_t got = read(fd, events, sizeof(events));

		if (got < 0)
			return -errno;
		for (size_t i = 0; i < (size_t)got / sizeof(events[0]); i++) {
			result->disordered += events[i].seqno <= result->last;
			result->last = events[i].seqno;
			result->received++;
		}
	}
	return 0;
}
