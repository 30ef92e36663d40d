/* SPDX-License-Identifier: BSD-3-Clause */
/* fds.h - how many descriptors this process has open, to tell that none leaks. */
#ifndef FDS_H
#define FDS_H

#include <dirent.h>

static inline int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

#endif
