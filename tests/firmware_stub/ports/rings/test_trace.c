/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace of the firmware on rings: its lines, their times, what a full one keeps. */
#include "../../../../firmware_stub/ports/rings/trace.c"

#include "check.h"

static uint64_t now_ns;
static char console[3 * TRACE_SIZE];
static size_t said;

uint64_t machine_time_ns(void)
{
	return now_ns;
}

void machine_console(uint8_t byte)
{
	console[said++ % sizeof(console)] = (char)byte;
}

static void lines_have_the_time_since_start(void)
{
	trace_say("started");
	now_ns = UINT64_C(12345678000);
	trace_say("attached");
	now_ns = UINT64_C(90000) * 1000000000 + 1000;
	trace_say("a day later");
	CHECK(!strcmp(kept, "[0.000000] started\n[12.345678] attached\n[90000.000001] a day later\n"));
	CHECK(!strncmp(console, kept, said));
}

static void a_full_trace_forgets_its_older_half(void)
{
	for (int i = 0; i < 1000; i++)
		trace_say("again");
	trace_say("at last");
	CHECK(strlen(kept) < TRACE_SIZE && strlen(kept) >= TRACE_SIZE / 2 - 1);
	CHECK(strstr(kept, "again\n[90000.000001] at last\n"));
	CHECK(!strstr(kept, "started"));
}

int main(void)
{
	RUN(lines_have_the_time_since_start);
	RUN(a_full_trace_forgets_its_older_half);
	return check_report();
}
