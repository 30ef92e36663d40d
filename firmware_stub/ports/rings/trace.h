/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - what the firmware says of itself, a line each: on the console's UART, and in
 * memory, where remoteproc (RSC_TRACE) and debuggers find it as text that ends with a 0.
 */
#ifndef TRACE_H
#define TRACE_H

#define TRACE_SIZE    4096u
#define TRACE_ADDRESS 0x880ff000u /* of the linker script, where there is a resource table */

/* With the time since start before it. */
void trace_say(const char *text);
/* The same, with a word before the text. */
void trace_say_of(const char *subject, const char *text);

#endif
