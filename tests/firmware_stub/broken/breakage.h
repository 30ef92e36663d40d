/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * breakage.h - firmware that breaks one rule of docs/protocol.md.
 *
 * What `gpio-bridge conformance` must find. The core stays as it is: a broken
 * rule is made between it and the channel, on messages in both directions.
 */
#ifndef BREAKAGE_H
#define BREAKAGE_H

#include <stdio.h>

#include "filter.h"

/* The filter that breaks the rule of this name; NULL when there is none. One a process. */
const struct message_filter *breakage_find(const char *name);
/* Print a line for each: name, and what is broken. */
void breakage_list(FILE *to);

#endif
