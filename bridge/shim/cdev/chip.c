/* SPDX-License-Identifier: BSD-3-Clause */
/* A chip as one program has it open. */
#include "cdev.h"

#include <errno.h>
#include <linux/gpio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptor.h"

/* The kernel's gpio_chardev_data has as many; one more record is in the socket. */
#define CHANGES_MAX 32u

struct gb_cdev_chip {
	struct gb_pump *pump;
	struct gb_part part;
	uint64_t id;
	struct gb_descriptor descriptor;
};

static void on_ioctl(void *owner, uint32_t command, const uint8_t *argument, size_t size)
{
	struct gb_cdev_chip *chip = owner;
	struct gb_report *report;

	if (command == GB_IOCTL_CLOSED) {
		gb_descriptor_answer(&chip->descriptor, 0, NULL, -1);
		return;
	}
	report = gb_report_add(chip->pump, GB_REPORT_OPERATION, chip->id);
	if (!report) {
		gb_descriptor_answer(&chip->descriptor, ENOMEM, NULL, -1);
		return;
	}
	report->number = command;
	report->value = chip->descriptor.packed;
	report->length = (uint16_t)size;
	memcpy(report->body, argument, size);
}

static void on_closed(void *owner)
{
	struct gb_cdev_chip *chip = owner;

	gb_report_add(chip->pump, GB_REPORT_HANGUP, chip->id);
}

static const struct gb_descriptor_ops ops = {.ioctl = on_ioctl, .closed = on_closed};

static void end(struct gb_cdev_chip *chip)
{
	gb_part_remove(&chip->pump->users, &chip->part);
	gb_descriptor_close(&chip->descriptor);
	free(chip);
}

static void free_chip(struct gb_part *part)
{
	end((struct gb_cdev_chip *)(void *)((char *)part - offsetof(struct gb_cdev_chip, part)));
}

struct gb_cdev_chip *gb_cdev_open_chip(struct gb_pump *pump, uint64_t id, int *fd)
{
	struct gb_cdev_chip *chip = calloc(1, sizeof(*chip));
	int theirs, error;

	if (!chip)
		return NULL;
	chip->pump = pump;
	chip->id = id;
	chip->part.free = free_chip;
	theirs = gb_descriptor_init(&chip->descriptor, pump,
				    sizeof(struct gpio_v2_line_info_changed), CHANGES_MAX, true);
	if (theirs < 0) {
		free(chip);
		errno = -theirs;
		return NULL;
	}
	gb_lock(pump);
	gb_part_add(&pump->users, &chip->part);
	error = gb_descriptor_watch(&chip->descriptor, &ops, chip);
	if (error) {
		end(chip);
		close(theirs);
		chip = NULL;
	}
	gb_unlock(pump);
	*fd = theirs;
	errno = -error;
	return chip;
}

void gb_cdev_answer_chip(struct gb_cdev_chip *chip, int error, const void *argument, int fd)
{
	gb_lock(chip->pump);
	gb_descriptor_answer(&chip->descriptor, error, argument, fd);
	gb_unlock(chip->pump);
}

void gb_cdev_push_chip(struct gb_cdev_chip *chip, const void *record, uint32_t size)
{
	gb_lock(chip->pump);
	if (gb_descriptor_resize(&chip->descriptor, size))
		gb_descriptor_push(&chip->descriptor, record);
	gb_unlock(chip->pump);
}

void gb_cdev_close_chip(struct gb_cdev_chip *chip)
{
	struct gb_pump *pump = chip->pump;

	gb_lock(pump);
	end(chip);
	gb_unlock(pump);
}
