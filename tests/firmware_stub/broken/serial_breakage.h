/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_breakage.h - firmware that breaks one rule of the serial framing.
 *
 * As breakage.h for messages: the core stays as it is, and a broken rule is made
 * between it and the wire, on frames in both directions.
 */
#ifndef SERIAL_BREAKAGE_H
#define SERIAL_BREAKAGE_H

#include <stdio.h>

#include "filter.h"

/* The filter that breaks the rule of this name; NULL when there is none. One a process. */
const struct serial_filter *serial_breakage_find(const char *name);
/* Print a line for each: name, and what is broken. */
void serial_breakage_list(FILE *to);

#endif
