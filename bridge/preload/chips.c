/* SPDX-License-Identifier: BSD-3-Clause */
/* Which chips there are, and which paths mean them. */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 16

static struct preload_chip chips[CHIPS_MAX];
static size_t chip_count;
static char service[108];

void *preload_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void write_number(char *place, unsigned int number)
{
	char digits[12];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count)
		*place++ = digits[--count];
	*place = '\0';
}

/* "2:m4-0,3:m4-1" */
static void read_chips(const char *text)
{
	while (*text && chip_count < CHIPS_MAX) {
		struct preload_chip *chip = &chips[chip_count];
		char *end;
		size_t length;

		chip->number = (unsigned int)strtoul(text, &end, 10);
		if (*end != ':')
			return;
		text = end + 1;
		length = strcspn(text, ",");
		if (length && length < NAME_SIZE) {
			memcpy(chip->name, text, length);
			memcpy(chip->device, "gpiochip", 8);
			write_number(chip->device + 8, chip->number);
			chip_count++;
		}
		text += length + (text[length] == ',');
	}
}

__attribute__((constructor)) static void read_environment(void)
{
	const char *path = getenv("GPIO_BRIDGE_RUN"), *text = getenv("GPIO_BRIDGE_RUN_CHIPS");

	if (!path || !text || strlen(path) >= sizeof(service))
		return;
	strcpy(service, path);
	read_chips(text);
}

const char *preload_service(void)
{
	return service;
}

size_t preload_chip_count(void)
{
	return chip_count;
}

const struct preload_chip *preload_chip(size_t index)
{
	return &chips[index];
}

const struct preload_chip *preload_chip_named(const char *name, size_t length)
{
	for (size_t i = 0; i < chip_count; i++)
		if (strlen(chips[i].name) == length && !memcmp(chips[i].name, name, length))
			return &chips[i];
	return NULL;
}

static const struct preload_chip *by_device(const char *name, size_t length)
{
	for (size_t i = 0; i < chip_count; i++)
		if (strlen(chips[i].device) == length && !memcmp(chips[i].device, name, length))
			return &chips[i];
	return NULL;
}

static const struct preload_chip *by_number(const char *text, size_t length)
{
	char wanted[24] = "4095:";

	for (size_t i = 0; i < chip_count; i++) {
		write_number(wanted + 5, chips[i].number);
		if (strlen(wanted) == length && !memcmp(wanted, text, length))
			return &chips[i];
	}
	return NULL;
}

/* ---- paths ------------------------------------------------------------------ */

/* What is left of a path behind a folder's, NULL when it is not below it. Doubled slashes
 * are as one. */
static const char *below(const char *path, const char *folder)
{
	while (*folder) {
		if (*folder != *path)
			return NULL;
		if (*path == '/')
			while (path[1] == '/')
				path++;
		folder++;
		path++;
	}
	return path;
}

static enum preload_file in_dev(const char *name, const struct preload_chip **chip)
{
	*chip = by_device(name, strlen(name));
	if (*chip)
		return FILE_CHIP;
	*chip = preload_chip_named(name, strlen(name));
	return *chip ? FILE_LINK : FILE_NONE;
}

/* Behind the folder of a device in sysfs. */
static enum preload_file in_sysfs(const char *rest)
{
	while (*rest == '/')
		rest++;
	if (!*rest)
		return FILE_NUMBER;
	if (!strcmp(rest, "subsystem"))
		return FILE_SUBSYSTEM;
	return strcmp(rest, "dev") ? FILE_NONE : FILE_DEV;
}

static enum preload_file absolute(const char *path, const struct preload_chip **chip)
{
	const char *rest = below(path, "/dev/");

	if (rest)
		return in_dev(rest, chip);
	rest = below(path, "/sys/dev/char/");
	if (rest) {
		*chip = by_number(rest, strcspn(rest, "/"));
		return *chip ? in_sysfs(rest + strcspn(rest, "/")) : FILE_NONE;
	}
	rest = below(path, "/sys/bus/gpio/devices/");
	if (!rest) {
		/* A kernel without GPIO has no such folder. */
		rest = below(path, SUBSYSTEM);
		*chip = chips;
		return rest && !*rest ? FILE_NUMBER : FILE_NONE;
	}
	*chip = by_device(rest, strcspn(rest, "/"));
	return *chip ? in_sysfs(rest + strcspn(rest, "/")) : FILE_NONE;
}

static ssize_t next_readlink(const char *path, char *target, size_t size)
{
	NEXT(ssize_t, "readlink", const char *, char *, size_t);

	return next(path, target, size);
}

bool preload_is_dev(int directory)
{
	char link[40] = "/proc/self/cwd", target[8];

	if (directory != AT_FDCWD) {
		strcpy(link, "/proc/self/fd/");
		write_number(link + strlen(link), (unsigned int)directory);
	}
	return next_readlink(link, target, sizeof(target)) == 4 && !memcmp(target, "/dev", 4);
}

enum preload_file preload_file(int directory, const char *path,
			       const struct preload_chip **chip)
{
	int error = errno;
	enum preload_file found = FILE_NONE;

	if (!chip_count || !path)
		return FILE_NONE;
	if (*path == '/') {
		found = absolute(path, chip);
	} else {
		if (path[0] == '.' && path[1] == '/')
			path += 2;
		found = in_dev(path, chip);
		if (found && !preload_is_dev(directory))
			found = FILE_NONE;
	}
	errno = error;
	return found;
}

/* A link's target, seen from where the link is; false when it is none or too long. */
static bool follow(const char *path, char *target)
{
	ssize_t length = next_readlink(path, target, PATH_MAX - 1);
	const char *slash = strrchr(path, '/');
	size_t folder = slash ? (size_t)(slash - path) + 1 : 0;

	if (length <= 0)
		return false;
	target[length] = '\0';
	if (*target == '/')
		return true;
	if (folder + (size_t)length >= PATH_MAX)
		return false;
	memmove(target + folder, target, (size_t)length + 1);
	memcpy(target, path, folder);
	return true;
}

enum preload_file preload_file_behind(int directory, const char *path,
				      const struct preload_chip **chip)
{
	char here[PATH_MAX], there[PATH_MAX];
	int error = errno;
	enum preload_file found = FILE_NONE;

	if (!chip_count || !path || (*path != '/' && directory != AT_FDCWD) ||
	    strlen(path) >= sizeof(here))
		return FILE_NONE;
	strcpy(here, path);
	for (int i = 0; i < LINKS_MAX && !found && follow(here, there); i++) {
		found = preload_file(AT_FDCWD, there, chip);
		strcpy(here, there);
	}
	errno = error;
	return found == FILE_CHIP || found == FILE_LINK ? FILE_CHIP : FILE_NONE;
}
