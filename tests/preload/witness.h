/* SPDX-License-Identifier: BSD-3-Clause */
/* witness.h - what the programs of this folder share: each says what it did, and ends with 0. */
#ifndef WITNESS_H
#define WITNESS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not true: %s (errno: %s)\n", __FILE__, __LINE__, \
				#condition, strerror(errno)); \
			exit(1); \
		} \
	} while (0)

/* The call fails, with this errno. */
#define FAILS(call, number) MUST((call) < 0 && errno == (number))

#endif
