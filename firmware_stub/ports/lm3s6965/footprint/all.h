/* SPDX-License-Identifier: BSD-3-Clause */
/* all.h - all extensions, 32 edges on their way. */
#define FOOTPRINT_EDGES 32
