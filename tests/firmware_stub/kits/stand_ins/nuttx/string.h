/* SPDX-License-Identifier: BSD-3-Clause */
/* string.h - a stand-in for NuttX's. */
#ifndef STAND_IN_STRING_H
#define STAND_IN_STRING_H

#include <stddef.h>

int strcmp(const char *a, const char *b);
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);

#endif
