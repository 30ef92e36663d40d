/* SPDX-License-Identifier: BSD-3-Clause */
/* The stat(2) family of 32-bit programs with 64-bit times. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include <features.h>

#if __SIZEOF_POINTER__ == 4
#include "stat.h"

#ifdef __GLIBC__
STAT(__stat64_time64, struct stat, true)
STAT(__lstat64_time64, struct stat, false)
FSTAT(__fstat64_time64, struct stat)
FSTATAT(__fstatat64_time64, struct stat)
#else
STAT(__stat_time64, struct stat, true)
STAT(__lstat_time64, struct stat, false)
FSTAT(__fstat_time64, struct stat)
FSTATAT(__fstatat_time64, struct stat)
#endif
#endif
