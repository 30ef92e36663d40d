/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stat.h - the stat(2) family for one kind of struct stat. A 32-bit glibc has programs of
 * several: files.c makes those of its own, stat_time64.c those with 64-bit times.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#ifndef STATX_TYPE
#include <linux/stat.h> /* musl has statx(2) since 1.2.5 */
#endif

#include "preload.h"

/* What a path of ours is; a link's own if `follow` is false. */
#define FILL(structure, s, file, chip, follow) \
	do { \
		memset(s, 0, sizeof(structure)); \
		(s)->st_nlink = 1; \
		(s)->st_ino = 0x47500000u + (chip)->number; \
		(s)->st_mode = preload_mode(file, follow); \
		if ((file) == FILE_LINK && !(follow)) \
			(s)->st_size = (off_t)strlen((chip)->device); \
		if (S_ISCHR((s)->st_mode)) \
			(s)->st_rdev = makedev(CHIP_MAJOR, (chip)->number); \
	} while (0)

static inline mode_t preload_mode(enum preload_file file, bool follow)
{
	if (!follow && (file == FILE_LINK || file == FILE_SUBSYSTEM))
		return S_IFLNK | 0777;
	if (file == FILE_CHIP || file == FILE_LINK)
		return S_IFCHR | 0660;
	return file == FILE_DEV ? S_IFREG | 0444 : S_IFDIR | 0755;
}

void preload_fill_statx(struct statx *s, enum preload_file file, const struct preload_chip *chip,
			bool follow);

/* After the real one said `result`: whether the path is one of ours all the same. */
#define BEHIND(result, directory, path, chip, follow) \
	((result) < 0 && errno == ENOENT && (follow) && \
	 preload_file_behind(directory, path, chip) == FILE_CHIP)

#define STAT(name, structure, follow) \
	EXPORTED int name(const char *path, structure *s); \
	EXPORTED int name(const char *path, structure *s) \
	{ \
		const struct preload_chip *chip; \
		enum preload_file file = preload_file(AT_FDCWD, path, &chip); \
		int result = 0; \
		NEXT(int, #name, const char *, structure *); \
		if (!file) { \
			result = next(path, s); \
			if (!BEHIND(result, AT_FDCWD, path, &chip, follow)) \
				return result; \
			file = FILE_CHIP; \
		} \
		FILL(structure, s, file, chip, follow); \
		return 0; \
	}

#define FSTAT(name, structure) \
	EXPORTED int name(int fd, structure *s); \
	EXPORTED int name(int fd, structure *s) \
	{ \
		const struct preload_chip *chip; \
		uint32_t size; \
		NEXT(int, #name, int, structure *); \
		if (!preload_is_ours(fd, &size, &chip) || !chip) \
			return next(fd, s); \
		FILL(structure, s, FILE_CHIP, chip, true); \
		return 0; \
	}

#define FSTATAT(name, structure) \
	EXPORTED int name(int directory, const char *path, structure *s, int flags); \
	EXPORTED int name(int directory, const char *path, structure *s, int flags) \
	{ \
		const struct preload_chip *chip; \
		bool follow = !(flags & AT_SYMLINK_NOFOLLOW); \
		enum preload_file file = preload_file(directory, path, &chip); \
		uint32_t size; \
		int result = 0; \
		NEXT(int, #name, int, const char *, structure *, int); \
		if (path && !*path && preload_is_ours(directory, &size, &chip) && chip) \
			file = FILE_CHIP; \
		if (!file) { \
			result = next(directory, path, s, flags); \
			if (!BEHIND(result, directory, path, &chip, follow)) \
				return result; \
			file = FILE_CHIP; \
		} \
		FILL(structure, s, file, chip, follow); \
		return 0; \
	}
