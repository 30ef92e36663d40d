/* SPDX-License-Identifier: BSD-3-Clause */
/* Our chips in /dev, for programs that look what is there. */
#define _GNU_SOURCE
#include "preload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LISTINGS_MAX 16

/* A directory stream of /dev; at its end come the chips and then their names. */
static struct {
	DIR *stream;
	size_t next;
} listings[LISTINGS_MAX];
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void lock(void)
{
	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		;
}

static void unlock(void)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
}

static void begin(DIR *from, DIR *to)
{
	lock();
	for (size_t i = 0; i < LISTINGS_MAX; i++) {
		if (listings[i].stream != from)
			continue;
		listings[i].stream = to;
		listings[i].next = 0;
		break;
	}
	unlock();
}

/* The next of our names for a stream that has no more of its own. */
static const char *next_name(const DIR *stream, unsigned char *type)
{
	size_t count = preload_chip_count(), place = 2 * count;

	lock();
	for (size_t i = 0; stream && i < LISTINGS_MAX; i++)
		if (listings[i].stream == stream && listings[i].next < 2 * count)
			place = listings[i].next++;
	unlock();
	if (place >= 2 * count)
		return NULL;
	*type = place < count ? DT_CHR : DT_LNK;
	return place < count ? preload_chip(place)->device : preload_chip(place - count)->name;
}

static DIR *noted(DIR *stream, const char *path)
{
	static const char *const dev[] = {"/dev", "/dev/", "/dev/."};

	for (size_t i = 0; stream && i < sizeof(dev) / sizeof(dev[0]); i++)
		if (!strcmp(path, dev[i]))
			begin(NULL, stream);
	if (stream && !strcmp(path, ".") && preload_is_dev(AT_FDCWD))
		begin(NULL, stream);
	return stream;
}

EXPORTED DIR *opendir(const char *path)
{
	NEXT(DIR *, "opendir", const char *);

	return noted(next(path), path);
}

EXPORTED DIR *fdopendir(int fd)
{
	NEXT(DIR *, "fdopendir", int);

	return noted(next(fd), preload_is_dev(fd) ? "/dev" : "");
}

EXPORTED int closedir(DIR *stream)
{
	NEXT(int, "closedir", DIR *);

	if (stream)
		begin(stream, NULL);
	return next(stream);
}

EXPORTED void rewinddir(DIR *stream)
{
	NEXT(void, "rewinddir", DIR *);

	if (stream)
		begin(stream, stream);
	next(stream);
}

#define READDIR(name, structure) \
	EXPORTED structure *name(DIR *stream) \
	{ \
		static _Thread_local structure ours; \
		const char *found; \
		structure *entry; \
		NEXT(structure *, #name, DIR *); \
		entry = next(stream); \
		if (entry) \
			return entry; \
		found = next_name(stream, &ours.d_type); \
		if (!found) \
			return NULL; \
		ours.d_ino = 1; \
		ours.d_reclen = sizeof(ours); \
		strcpy(ours.d_name, found); \
		return &ours; \
	}

/* The libc's calls its own readdir, where we are not asked. */
#define SCANDIR(name, read, structure) \
	EXPORTED int name(const char *path, structure ***list, \
			  int (*filter)(const structure *), \
			  int (*compare)(const structure **, const structure **)) \
	{ \
		DIR *stream = opendir(path); \
		structure **found = NULL, *entry; \
		size_t count = 0, room = 0; \
		int error = errno; \
		if (!stream) \
			return -1; \
		while ((entry = read(stream))) { \
			structure **more, *copy; \
			size_t size = offsetof(structure, d_name) + strlen(entry->d_name) + 1; \
			if (filter && !filter(entry)) \
				continue; \
			if (count == room) { \
				room = room ? 2 * room : 32; \
				more = realloc(found, room * sizeof(found[0])); \
				if (!more) \
					break; \
				found = more; \
			} \
			copy = malloc(size < sizeof(*copy) ? sizeof(*copy) : size); \
			if (!copy) \
				break; \
			memcpy(copy, entry, size); \
			found[count++] = copy; \
		} \
		closedir(stream); \
		if (entry) { \
			while (count) \
				free(found[--count]); \
			free(found); \
			errno = ENOMEM; \
			return -1; \
		} \
		if (compare && count) \
			qsort(found, count, sizeof(found[0]), \
			      (int (*)(const void *, const void *))compare); \
		errno = error; \
		*list = found; \
		return (int)count; \
	}

READDIR(readdir, struct dirent)
SCANDIR(scandir, readdir, struct dirent)
#ifdef __GLIBC__
READDIR(readdir64, struct dirent64)
SCANDIR(scandir64, readdir64, struct dirent64)
#endif
