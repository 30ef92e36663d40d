/* SPDX-License-Identifier: BSD-3-Clause */
/* rsc_table.h - a stand-in for that of the example. */
#ifndef STAND_IN_RSC_TABLE_H
#define STAND_IN_RSC_TABLE_H

void copyResourceTable(void);

#endif
