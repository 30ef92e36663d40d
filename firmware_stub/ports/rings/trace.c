/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <string.h>

#include "machine.h"

static __attribute__((section(".bss.trace"))) char kept[TRACE_SIZE];
static unsigned int length; /* of what is kept; a 0 stands behind it */

/* A full buffer forgets its older half. */
static void put(char byte)
{
	if (length == TRACE_SIZE - 1) {
		memmove(kept, kept + TRACE_SIZE / 2, TRACE_SIZE / 2);
		length -= TRACE_SIZE / 2;
		memset(kept + length, 0, TRACE_SIZE - length);
	}
	kept[length++] = byte;
	machine_console((uint8_t)byte);
}

/* `unit`: of the first digit, if the value has not got more. */
static void put_decimal(uint32_t value, uint32_t unit)
{
	while (value / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		put((char)('0' + value / unit % 10));
}

static void put_text(const char *text)
{
	while (*text)
		put(*text++);
}

static void put_time(void)
{
	uint64_t us = machine_time_ns() / 1000;

	put('[');
	put_decimal((uint32_t)(us / 1000000), 1);
	put('.');
	put_decimal((uint32_t)(us % 1000000), 100000);
	put(']');
	put(' ');
}

void trace_say(const char *text)
{
	put_time();
	put_text(text);
	put('\n');
}

void trace_say_of(const char *subject, const char *text)
{
	put_time();
	put_text(subject);
	put(' ');
	put_text(text);
	put('\n');
}
