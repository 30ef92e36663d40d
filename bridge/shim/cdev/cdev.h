/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cdev.h - the GPIO character device without a kernel: what Python calls.
 *
 * A chip descriptor hands its ioctls on to Python, which knows the lines. A line descriptor
 * does gets, sets and events by itself; only new settings go to Python.
 */
#ifndef GB_CDEV_H
#define GB_CDEV_H

#include "pump/request.h"

/* ---- lines ------------------------------------------------------------------ */

/* What a line descriptor is: which ioctls it knows, what its events look like. */
enum gb_line_form {
	GB_LINE_V2,       /* GPIO_V2_GET_LINE_IOCTL: struct gpio_v2_line_event */
	GB_LINE_HANDLE,   /* GPIO_GET_LINEHANDLE_IOCTL: no events */
	GB_LINE_EVENT,    /* GPIO_GET_LINEEVENT_IOCTL: struct gpioevent_data, 16 bytes */
	GB_LINE_EVENT_32, /* the same of a program where it has 12 (i386) */
};

/* Like gb_request_open(); `fd` is the program's. */
struct gb_request *gb_cdev_open_line(struct gb_pump *pump, uint64_t id,
				     const struct gb_line_plan *lines, size_t count,
				     uint32_t event_capacity, uint32_t timeout_ms, int form,
				     int *fd);

/* ---- chips ------------------------------------------------------------------ */

struct gb_cdev_chip;

/* Ioctls come as GB_REPORT_OPERATION: number = the ioctl's, body = what it points to, value =
 * 1 where struct gpioevent_data is to have 12 bytes (GB_LINE_EVENT_32). At its end comes
 * GB_REPORT_HANGUP. NULL with errno; `fd` is the program's. */
struct gb_cdev_chip *gb_cdev_open_chip(struct gb_pump *pump, uint64_t id, int *fd);
/* `argument`: as long as the ioctl's, or NULL. `fd`: -1, or one to pass along; closed here. */
void gb_cdev_answer_chip(struct gb_cdev_chip *chip, int error, const void *argument, int fd);
/* Queue a record of a change of a line; when 32 wait, the newest is dropped. `size` is the same
 * for all: struct gpio_v2_line_info_changed, or struct gpioline_info_changed of v1. */
void gb_cdev_push_chip(struct gb_cdev_chip *chip, const void *record, uint32_t size);
/* The program sees HUP and ERR. */
void gb_cdev_close_chip(struct gb_cdev_chip *chip);

#endif
