/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * preload.h - /dev/gpiochipN for a program that nobody changed: LD_PRELOAD of `gpio-bridge run`.
 *
 * What the program does with the names of our chips is answered here (files.c, listing.c);
 * what it opens is a descriptor of docs/cdev.md, whose ioctls go over channels (device.c);
 * poll(2), read(2) and all else are the kernel's own (descriptors.c has what differs).
 *
 * The environment says which chips there are:
 *
 *   GPIO_BRIDGE_RUN=/run/.../control.sock     the service
 *   GPIO_BRIDGE_RUN_CHIPS=2:m4-0,3:m4-1       m4-0 is /dev/gpiochip2, m4-1 is /dev/gpiochip3
 *
 * The library is loaded into programs of any libc: it has no version of a symbol in it, and
 * needs nothing but what glibc 2.28 and musl have.
 */
#ifndef GPIO_BRIDGE_PRELOAD_H
#define GPIO_BRIDGE_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXPORTED __attribute__((visibility("default")))

/* The function of that name that the program would have without us. */
void *preload_next(const char *name);
#define NEXT(result, name, ...) \
	static result (*next)(__VA_ARGS__); \
	if (!next) \
		next = (result(*)(__VA_ARGS__))preload_next(name)

/* ---- chips.c ---------------------------------------------------------------- */

#define CHIPS_MAX 64
#define NAME_SIZE 64
/* No device has it: the kernel's go up to 511. */
#define CHIP_MAJOR 4095u
#define SUBSYSTEM "/sys/bus/gpio"

struct preload_chip {
	unsigned int number;
	char device[24]; /* gpiochipN */
	char name[NAME_SIZE];
};

const char *preload_service(void); /* its socket */
size_t preload_chip_count(void);
const struct preload_chip *preload_chip(size_t index);
const struct preload_chip *preload_chip_named(const char *name, size_t length);

enum preload_file {
	FILE_NONE,      /* not ours */
	FILE_CHIP,      /* /dev/gpiochipN */
	FILE_LINK,      /* /dev/NAME -> gpiochipN */
	FILE_NUMBER,    /* folders of sysfs: /sys/dev/char/M:m, /sys/bus/gpio/devices/gpiochipN */
	FILE_SUBSYSTEM, /* the same /subsystem -> SUBSYSTEM */
	FILE_DEV,       /* the same /dev: "M:m\n" */
};

/* What a path means; `directory` as openat(2) has it. Leaves errno as it was. */
enum preload_file preload_file(int directory, const char *path,
			       const struct preload_chip **chip);
/* The same of a path whose links lead to a chip of ours, of which the kernel knows nothing:
 * asked when it says ENOENT. FILE_CHIP or FILE_NONE. */
enum preload_file preload_file_behind(int directory, const char *path,
				      const struct preload_chip **chip);

/* Whether an open directory, or AT_FDCWD, is /dev. */
bool preload_is_dev(int directory);

/* ---- files.c ----------------------------------------------------------------- */

/* The file "dev" of a device in sysfs: a descriptor, or -1 with errno. */
int preload_open_dev(const struct preload_chip *chip);

/* ---- device.c ----------------------------------------------------------------- */

/* open(2) of a chip: a descriptor, or -1 with errno. */
int preload_open(const struct preload_chip *chip, int flags);
/* ioctl(2) of the GPIO character device: the result, with errno; ENOTTY: it is none of ours. */
int preload_ioctl(int fd, uint32_t command, void *argument);
/* Where an ioctl that makes a descriptor puts its number, 0 for others; tells the size of the
 * records that can be read from it (0: it has none). */
size_t preload_place_of_fd(uint32_t command, uint32_t *record_size);
/* Whether the descriptor is one of ours; tells the size of its records (0: it has none),
 * and the chip if it is one. */
bool preload_is_ours(int fd, uint32_t *record_size, const struct preload_chip **chip);
/* The chip that a descriptor of any number is, NULL for none. */
const struct preload_chip *preload_chip_of(int fd);
/* Whether it may be: costs nothing. */
bool preload_maybe_ours(int fd);
void preload_also_ours(int fd, bool ours);
bool preload_is_socket(int fd);
/* close(2), with `next` for the descriptor itself. */
int preload_close(int fd, int (*next)(int));

#endif
