/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's uAPI v2 by plain system calls of the libc, on the chip of argv[1]: lines 2 and 3
 * are wired. Nothing here knows of gpio-bridge.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/gpio.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "witness.h"

static int request(int chip, unsigned int offset, unsigned long long flags)
{
	struct gpio_v2_line_request asked = {.num_lines = 1, .consumer = "witness"};

	asked.offsets[0] = offset;
	asked.config.flags = flags;
	return ioctl(chip, GPIO_V2_GET_LINE_IOCTL, &asked) < 0 ? -1 : asked.fd;
}

static int value(int line)
{
	struct gpio_v2_line_values values = {.mask = 1};

	MUST(!ioctl(line, GPIO_V2_LINE_GET_VALUES_IOCTL, &values));
	return (int)values.bits;
}

static int set(int line, int bit)
{
	struct gpio_v2_line_values values = {.mask = 1, .bits = (unsigned int)bit};

	return ioctl(line, GPIO_V2_LINE_SET_VALUES_IOCTL, &values);
}

static struct gpio_v2_line_info info_of(int chip, unsigned int offset)
{
	struct gpio_v2_line_info info = {.offset = offset};

	MUST(!ioctl(chip, GPIO_V2_GET_LINEINFO_IOCTL, &info));
	return info;
}

static void values_both_ways(int chip)
{
	int output = request(chip, 2, GPIO_V2_LINE_FLAG_OUTPUT);
	int input = request(chip, 3, GPIO_V2_LINE_FLAG_INPUT);

	MUST(output >= 0 && input >= 0);
	MUST(fcntl(output, F_GETFD) & FD_CLOEXEC);
	MUST(!set(output, 1));
	MUST(value(input) == 1 && value(output) == 1);
	MUST(!set(output, 0));
	MUST(value(input) == 0);
	FAILS(set(input, 1), EPERM);
	FAILS(request(chip, 2, GPIO_V2_LINE_FLAG_INPUT), EBUSY);
	FAILS(request(chip, 99, GPIO_V2_LINE_FLAG_INPUT), EINVAL);
	FAILS(request(chip, 4, GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_OUTPUT), EINVAL);
	FAILS(ioctl(output, GPIO_V2_GET_LINEINFO_IOCTL, &(struct gpio_v2_line_info){0}), EINVAL);
	MUST(!strcmp(info_of(chip, 2).consumer, "witness"));
	MUST(!close(output) && !close(input));
	/* At once, as in the kernel. */
	MUST(!(info_of(chip, 2).flags & GPIO_V2_LINE_FLAG_USED));
}

static void events(int chip)
{
	struct gpio_v2_line_event event[8];
	int output = request(chip, 2, GPIO_V2_LINE_FLAG_OUTPUT), line, epoll;
	struct epoll_event ready = {.events = EPOLLIN};
	struct pollfd end;

	line = request(chip, 3, GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING |
		       GPIO_V2_LINE_FLAG_EDGE_FALLING);
	MUST(output >= 0 && line >= 0);
	end = (struct pollfd){.fd = line, .events = POLLIN};
	MUST(poll(&end, 1, 0) == 0);
	MUST(!fcntl(line, F_SETFL, O_NONBLOCK));
	FAILS(read(line, event, sizeof(event)), EAGAIN);
#ifndef SUPERVISED /* nobody sees its read(2) */
	FAILS(read(line, event, sizeof(event[0]) - 1), EINVAL);
#endif
	MUST(!fcntl(line, F_SETFL, 0));
	MUST(!set(output, 1));
	MUST(read(line, event, sizeof(event[0])) == sizeof(event[0]));
	MUST(event[0].id == GPIO_V2_LINE_EVENT_RISING_EDGE && event[0].offset == 3 &&
	     event[0].seqno == 1 && event[0].line_seqno == 1);
	epoll = epoll_create1(0);
	MUST(!epoll_ctl(epoll, EPOLL_CTL_ADD, line, &ready));
	MUST(!set(output, 0));
	MUST(epoll_wait(epoll, &ready, 1, 10000) == 1);
	/* A read of 100 bytes takes whole records. */
	MUST(read(line, event, 100) == sizeof(event[0]));
	MUST(event[0].id == GPIO_V2_LINE_EVENT_FALLING_EDGE && event[0].seqno == 2);
	close(epoll);
	close(line);
	close(output);
}

/* The same lines in another process, by fork(2) and by SCM_RIGHTS. */
static void other_processes(int chip)
{
	int output = request(chip, 2, GPIO_V2_LINE_FLAG_OUTPUT), status, twin;
	pid_t child;

	MUST(!set(output, 0));
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(set(output, 1) ? 1 : 0);
	MUST(waitpid(child, &status, 0) == child && !status);
	MUST(value(output) == 1);
	twin = dup(output);
	MUST(!close(output));
	MUST(value(twin) == 1);
	MUST(info_of(chip, 2).flags & GPIO_V2_LINE_FLAG_USED);
	MUST(!close(twin));
	MUST(!(info_of(chip, 2).flags & GPIO_V2_LINE_FLAG_USED));
}

static void watches(int chip)
{
	struct gpio_v2_line_info info = {.offset = 2};
	struct gpio_v2_line_info_changed changed;
	int line;

	MUST(!ioctl(chip, GPIO_V2_GET_LINEINFO_WATCH_IOCTL, &info));
	FAILS(ioctl(chip, GPIO_V2_GET_LINEINFO_WATCH_IOCTL, &info), EBUSY);
	line = request(chip, 2, GPIO_V2_LINE_FLAG_OUTPUT);
	MUST(read(chip, &changed, sizeof(changed)) == sizeof(changed));
	MUST(changed.event_type == GPIO_V2_LINE_CHANGED_REQUESTED && changed.info.offset == 2);
	close(line);
	MUST(read(chip, &changed, sizeof(changed)) == sizeof(changed));
	MUST(changed.event_type == GPIO_V2_LINE_CHANGED_RELEASED);
	MUST(!ioctl(chip, GPIO_GET_LINEINFO_UNWATCH_IOCTL, &info.offset));
}

int main(int count, char **arguments)
{
	struct gpiochip_info info = {.lines = 0};
	struct stat status;
	int chip;

	MUST(count == 2);
	MUST(!stat(arguments[1], &status) && S_ISCHR(status.st_mode));
	MUST(!access(arguments[1], R_OK | W_OK));
	chip = open(arguments[1], O_RDWR | O_CLOEXEC);
	MUST(chip >= 0);
	MUST(!fstat(chip, &status) && S_ISCHR(status.st_mode));
	MUST(!ioctl(chip, GPIO_GET_CHIPINFO_IOCTL, &info));
	printf("%s has %u lines\n", info.name, info.lines);
	FAILS(ioctl(chip, _IOWR(0xb4, 0x7f, int), &info), EINVAL);
	values_both_ways(chip);
	events(chip);
	other_processes(chip);
	watches(chip);
	MUST(!close(chip));
	printf("all is as in the kernel\n");
	return 0;
}
