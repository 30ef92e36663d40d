/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs ask of the names of our chips: open(2), stat(2), access(2), links. */
#define _GNU_SOURCE
#include "stat.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- open ------------------------------------------------------------------- */

/* The file "dev" of a device in sysfs. */
int preload_open_dev(const struct preload_chip *chip)
{
	char text[32] = "4095:";
	int fd = (int)syscall(SYS_memfd_create, "dev", 0);

	if (fd < 0)
		return -1;
	strcat(text, chip->device + strlen("gpiochip"));
	strcat(text, "\n");
	if (write(fd, text, strlen(text)) > 0 && !lseek(fd, 0, SEEK_SET))
		return fd;
	syscall(SYS_close, fd);
	return -1;
}

/* False: it is none of ours. */
static bool open_ours(int directory, const char *path, int flags, int *fd)
{
	const struct preload_chip *chip;
	enum preload_file file = preload_file(directory, path, &chip);

	if (file == FILE_DEV)
		*fd = preload_open_dev(chip);
	else if (file == FILE_LINK && flags & O_NOFOLLOW)
		errno = ELOOP, *fd = -1;
	else if (file == FILE_CHIP || file == FILE_LINK)
		*fd = preload_open(chip, flags);
	else
		return false;
	return true;
}

/* Behind links of the program's own. */
static int open_behind(int directory, const char *path, int flags)
{
	const struct preload_chip *chip;

	if (errno == ENOENT && !(flags & (O_CREAT | O_NOFOLLOW)) &&
	    preload_file_behind(directory, path, &chip) == FILE_CHIP)
		return preload_open(chip, flags);
	return -1;
}

#define MODE(flags, mode) \
	do { \
		va_list list; \
		va_start(list, flags); \
		mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
		va_end(list); \
	} while (0)

#define OPEN(name) \
	EXPORTED int name(const char *path, int flags, ...) \
	{ \
		mode_t mode; \
		int fd; \
		NEXT(int, #name, const char *, int, ...); \
		MODE(flags, mode); \
		if (open_ours(AT_FDCWD, path, flags, &fd)) \
			return fd; \
		fd = next(path, flags, mode); \
		return fd < 0 ? open_behind(AT_FDCWD, path, flags) : fd; \
	}

#define OPENAT(name) \
	EXPORTED int name(int directory, const char *path, int flags, ...) \
	{ \
		mode_t mode; \
		int fd; \
		NEXT(int, #name, int, const char *, int, ...); \
		MODE(flags, mode); \
		if (open_ours(directory, path, flags, &fd)) \
			return fd; \
		fd = next(directory, path, flags, mode); \
		return fd < 0 ? open_behind(directory, path, flags) : fd; \
	}

/* With _FORTIFY_SOURCE. */
#define OPEN_2(name) \
	EXPORTED int name(const char *path, int flags); \
	EXPORTED int name(const char *path, int flags) \
	{ \
		int fd; \
		NEXT(int, #name, const char *, int); \
		if (open_ours(AT_FDCWD, path, flags, &fd)) \
			return fd; \
		fd = next(path, flags); \
		return fd < 0 ? open_behind(AT_FDCWD, path, flags) : fd; \
	}

#define OPENAT_2(name) \
	EXPORTED int name(int directory, const char *path, int flags); \
	EXPORTED int name(int directory, const char *path, int flags) \
	{ \
		int fd; \
		NEXT(int, #name, int, const char *, int); \
		if (open_ours(directory, path, flags, &fd)) \
			return fd; \
		fd = next(directory, path, flags); \
		return fd < 0 ? open_behind(directory, path, flags) : fd; \
	}

OPEN(open)
OPENAT(openat)
OPEN_2(__open_2)
OPENAT_2(__openat_2)
#ifdef __GLIBC__
OPEN(open64)
OPENAT(openat64)
OPEN_2(__open64_2)
OPENAT_2(__openat64_2)
#endif

/* ---- stat ------------------------------------------------------------------- */

STAT(stat, struct stat, true)
STAT(lstat, struct stat, false)
FSTAT(fstat, struct stat)
FSTATAT(fstatat, struct stat)

#ifdef __GLIBC__
STAT(stat64, struct stat64, true)
STAT(lstat64, struct stat64, false)
FSTAT(fstat64, struct stat64)
FSTATAT(fstatat64, struct stat64)

/* As programs that were built with a glibc before 2.33 call them. */
#define XSTAT(name, structure, follow) \
	EXPORTED int name(int version, const char *path, structure *s); \
	EXPORTED int name(int version, const char *path, structure *s) \
	{ \
		const struct preload_chip *chip; \
		enum preload_file file = preload_file(AT_FDCWD, path, &chip); \
		int result = 0; \
		NEXT(int, #name, int, const char *, structure *); \
		if (!file) { \
			result = next(version, path, s); \
			if (!BEHIND(result, AT_FDCWD, path, &chip, follow)) \
				return result; \
			file = FILE_CHIP; \
		} \
		FILL(structure, s, file, chip, follow); \
		return 0; \
	}

#define FXSTAT(name, structure) \
	EXPORTED int name(int version, int fd, structure *s); \
	EXPORTED int name(int version, int fd, structure *s) \
	{ \
		const struct preload_chip *chip; \
		uint32_t size; \
		NEXT(int, #name, int, int, structure *); \
		if (!preload_is_ours(fd, &size, &chip) || !chip) \
			return next(version, fd, s); \
		FILL(structure, s, FILE_CHIP, chip, true); \
		return 0; \
	}

#define FXSTATAT(name, structure) \
	EXPORTED int name(int version, int directory, const char *path, structure *s, int flags); \
	EXPORTED int name(int version, int directory, const char *path, structure *s, int flags) \
	{ \
		const struct preload_chip *chip; \
		bool follow = !(flags & AT_SYMLINK_NOFOLLOW); \
		enum preload_file file = preload_file(directory, path, &chip); \
		int result = 0; \
		NEXT(int, #name, int, int, const char *, structure *, int); \
		if (!file) { \
			result = next(version, directory, path, s, flags); \
			if (!BEHIND(result, directory, path, &chip, follow)) \
				return result; \
			file = FILE_CHIP; \
		} \
		FILL(structure, s, file, chip, follow); \
		return 0; \
	}

XSTAT(__xstat, struct stat, true)
XSTAT(__lxstat, struct stat, false)
FXSTAT(__fxstat, struct stat)
FXSTATAT(__fxstatat, struct stat)
XSTAT(__xstat64, struct stat64, true)
XSTAT(__lxstat64, struct stat64, false)
FXSTAT(__fxstat64, struct stat64)
FXSTATAT(__fxstatat64, struct stat64)
#endif

void preload_fill_statx(struct statx *s, enum preload_file file, const struct preload_chip *chip,
		       bool follow)
{
	struct stat plain;

	FILL(struct stat, &plain, file, chip, follow);
	memset(s, 0, sizeof(*s));
	s->stx_mask = STATX_BASIC_STATS;
	s->stx_mode = (uint16_t)plain.st_mode;
	s->stx_nlink = 1;
	s->stx_ino = plain.st_ino;
	s->stx_size = (uint64_t)plain.st_size;
	s->stx_rdev_major = S_ISCHR(plain.st_mode) ? CHIP_MAJOR : 0;
	s->stx_rdev_minor = S_ISCHR(plain.st_mode) ? chip->number : 0;
}

EXPORTED int statx(int directory, const char *path, int flags, unsigned int mask,
		   struct statx *s)
{
	const struct preload_chip *chip;
	bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
	enum preload_file file = preload_file(directory, path, &chip);
	uint32_t size;
	int result;
	NEXT(int, "statx", int, const char *, int, unsigned int, struct statx *);

	if (path && !*path && preload_is_ours(directory, &size, &chip) && chip)
		file = FILE_CHIP;
	if (!file) {
		/* A program that looks for it finds ours, where its libc has none. */
		result = next ? next(directory, path, flags, mask, s) :
				(int)syscall(SYS_statx, directory, path, flags, mask, s);
		if (!BEHIND(result, directory, path, &chip, follow))
			return result;
		file = FILE_CHIP;
	}
	preload_fill_statx(s, file, chip, follow);
	return 0;
}

/* ---- access ----------------------------------------------------------------- */

/* Of execute permission there is none. */
static int may(enum preload_file file, int mode)
{
	bool folder = file == FILE_NUMBER || file == FILE_SUBSYSTEM;

	if ((mode & X_OK && !folder) || (mode & W_OK && (folder || file == FILE_DEV))) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

static int access_at(int directory, const char *path, int mode, int result)
{
	const struct preload_chip *chip;

	return BEHIND(result, directory, path, &chip, true) ? may(FILE_CHIP, mode) : result;
}

#define ACCESS(name) \
	EXPORTED int name(const char *path, int mode) \
	{ \
		const struct preload_chip *chip; \
		enum preload_file file = preload_file(AT_FDCWD, path, &chip); \
		NEXT(int, #name, const char *, int); \
		return file ? may(file, mode) : \
			      access_at(AT_FDCWD, path, mode, next(path, mode)); \
	}

ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

EXPORTED int faccessat(int directory, const char *path, int mode, int flags)
{
	const struct preload_chip *chip;
	enum preload_file file = preload_file(directory, path, &chip);
	NEXT(int, "faccessat", int, const char *, int, int);

	return file ? may(file, mode) :
		      access_at(directory, path, mode, next(directory, path, mode, flags));
}

/* ---- links ------------------------------------------------------------------ */

/* False: it is none of ours. */
static bool link_target(int directory, const char *path, const char **target)
{
	const struct preload_chip *chip;
	enum preload_file file = preload_file(directory, path, &chip);

	if (file == FILE_LINK)
		*target = chip->device;
	else if (file == FILE_SUBSYSTEM)
		*target = SUBSYSTEM;
	else if (file == FILE_CHIP || file == FILE_DEV)
		*target = NULL;
	else
		return false;
	return true;
}

static ssize_t copy_target(const char *target, char *buffer, size_t size)
{
	size_t length = target ? strlen(target) : 0;

	if (!target) {
		errno = EINVAL;
		return -1;
	}
	if (length > size)
		length = size;
	memcpy(buffer, target, length);
	return (ssize_t)length;
}

EXPORTED ssize_t readlink(const char *path, char *buffer, size_t size)
{
	const char *target;
	NEXT(ssize_t, "readlink", const char *, char *, size_t);

	return link_target(AT_FDCWD, path, &target) ? copy_target(target, buffer, size) :
						      next(path, buffer, size);
}

EXPORTED ssize_t readlinkat(int directory, const char *path, char *buffer, size_t size)
{
	const char *target;
	NEXT(ssize_t, "readlinkat", int, const char *, char *, size_t);

	return link_target(directory, path, &target) ? copy_target(target, buffer, size) :
						       next(directory, path, buffer, size);
}

/* With _FORTIFY_SOURCE. */
EXPORTED ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room);
EXPORTED ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room)
{
	return readlink(path, buffer, size < room ? size : room);
}

/* What a path of ours is after all links, NULL when it is none. */
static const char *real_name(const char *path, char *place)
{
	const struct preload_chip *chip;
	enum preload_file file = preload_file(AT_FDCWD, path, &chip);

	if (file == FILE_SUBSYSTEM)
		return strcpy(place, SUBSYSTEM);
	if (file == FILE_NONE && preload_file_behind(AT_FDCWD, path, &chip) == FILE_CHIP)
		file = FILE_CHIP;
	if (file != FILE_CHIP && file != FILE_LINK)
		return NULL;
	strcpy(place, "/dev/");
	return strcat(place, chip->device);
}

EXPORTED char *realpath(const char *restrict path, char *restrict resolved)
{
	char name[64];
	char *place = resolved ? resolved : malloc(PATH_MAX);
	NEXT(char *, "realpath", const char *, char *);

	if (!place)
		return NULL;
	if (real_name(path, name))
		return strcpy(place, name);
	if (next(path, place))
		return place;
	if (!resolved)
		free(place);
	return NULL;
}

EXPORTED char *__realpath_chk(const char *path, char *resolved, size_t room);
EXPORTED char *__realpath_chk(const char *path, char *resolved, size_t room)
{
	(void)room;
	return realpath(path, resolved);
}

EXPORTED char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}
