/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check.h - the least a C unit test needs.
 *
 *     static void adds_two_numbers(void) { CHECK_EQ(1 + 1, 2); }
 *     int main(void) { RUN(adds_two_numbers); return check_report(); }
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

static unsigned int check_passed, check_failed;
static int check_bad;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			check_bad = 1; \
		} \
	} while (0)

#define CHECK_EQ(got, wanted) \
	do { \
		long long check_got = (long long)(got), check_wanted = (long long)(wanted); \
		if (check_got != check_wanted) { \
			printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, \
			       check_got, check_wanted); \
			check_bad = 1; \
		} \
	} while (0)

#define CHECK_BYTES(got, wanted, size) CHECK(memcmp(got, wanted, size) == 0)

#define RUN(test) \
	do { \
		check_bad = 0; \
		fflush(stdout); \
		test(); \
		printf("%s %s\n", check_bad ? "FAILED" : "ok", #test); \
		if (check_bad) \
			check_failed++; \
		else \
			check_passed++; \
	} while (0)

static inline int check_report(void)
{
	printf("%u passed, %u failed\n", check_passed, check_failed);
	return check_failed != 0;
}

#endif
