/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's old uAPI, v1, on the chip of argv[1]: lines 2 and 3 are wired. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/gpio.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "witness.h"

static int handle(int chip, unsigned int offset, unsigned int flags, int start)
{
	struct gpiohandle_request asked = {.lines = 1, .flags = flags,
					   .consumer_label = "old witness"};

	asked.lineoffsets[0] = offset;
	asked.default_values[0] = (unsigned char)start;
	return ioctl(chip, GPIO_GET_LINEHANDLE_IOCTL, &asked) < 0 ? -1 : asked.fd;
}

static int value(int fd)
{
	struct gpiohandle_data data;

	MUST(!ioctl(fd, GPIOHANDLE_GET_LINE_VALUES_IOCTL, &data));
	return data.values[0];
}

static int set(int fd, int bit)
{
	struct gpiohandle_data data = {.values = {(unsigned char)bit}};

	return ioctl(fd, GPIOHANDLE_SET_LINE_VALUES_IOCTL, &data);
}

static void handles(int chip)
{
	struct gpiohandle_config config = {.flags = GPIOHANDLE_REQUEST_INPUT};
	struct gpioline_info info = {.line_offset = 2};
	int output = handle(chip, 2, GPIOHANDLE_REQUEST_OUTPUT, 1);
	int input = handle(chip, 3, GPIOHANDLE_REQUEST_INPUT, 0);

	MUST(output >= 0 && input >= 0);
	MUST(value(input) == 1);
	MUST(!set(output, 0) && value(input) == 0);
	FAILS(set(input, 1), EPERM);
	FAILS(handle(chip, 2, GPIOHANDLE_REQUEST_INPUT, 0), EBUSY);
	MUST(!ioctl(chip, GPIO_GET_LINEINFO_IOCTL, &info));
	MUST(info.flags == (GPIOLINE_FLAG_KERNEL | GPIOLINE_FLAG_IS_OUT));
	MUST(!strcmp(info.consumer, "old witness"));
	MUST(!ioctl(output, GPIOHANDLE_SET_CONFIG_IOCTL, &config));
	FAILS(set(output, 1), EPERM);
	close(output);
	close(input);
}

static void events(int chip)
{
	struct gpioevent_request asked = {
		.lineoffset = 3, .handleflags = GPIOHANDLE_REQUEST_INPUT,
		.eventflags = GPIOEVENT_REQUEST_BOTH_EDGES, .consumer_label = "old witness",
	};
	struct gpioevent_data event[4];
	struct gpioline_info_changed changed;
	struct gpioline_info info = {.line_offset = 3};
	struct pollfd end;
	int output = handle(chip, 2, GPIOHANDLE_REQUEST_OUTPUT, 0);

	MUST(!ioctl(chip, GPIO_GET_LINEINFO_WATCH_IOCTL, &info));
	MUST(!ioctl(chip, GPIO_GET_LINEEVENT_IOCTL, &asked));
	MUST(read(chip, &changed, sizeof(changed)) == sizeof(changed));
	MUST(changed.event_type == GPIOLINE_CHANGED_REQUESTED && changed.info.line_offset == 3);
	end = (struct pollfd){.fd = asked.fd, .events = POLLIN};
	MUST(poll(&end, 1, 0) == 0);
	MUST(!set(output, 1));
	MUST(poll(&end, 1, 10000) == 1);
	MUST(read(asked.fd, event, sizeof(event)) == sizeof(event[0]));
	MUST(event[0].id == GPIOEVENT_EVENT_RISING_EDGE && event[0].timestamp);
	MUST(value(asked.fd) == 1);
	MUST(!set(output, 0));
	MUST(read(asked.fd, event, sizeof(event[0])) == sizeof(event[0]));
	MUST(event[0].id == GPIOEVENT_EVENT_FALLING_EDGE);
	close(asked.fd);
	close(output);
}

int main(int count, char **arguments)
{
	int chip;

	MUST(count == 2);
	chip = open(arguments[1], 0);
	MUST(chip >= 0);
	handles(chip);
	events(chip);
	printf("all is as in the kernel\n");
	return 0;
}
