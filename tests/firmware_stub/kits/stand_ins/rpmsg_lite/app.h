/* SPDX-License-Identifier: BSD-3-Clause */
/* app.h - a stand-in for that of the example. */
#ifndef STAND_IN_APP_H
#define STAND_IN_APP_H

#define RPMSG_LITE_LINK_ID 0u
#define RPMSG_LITE_SHMEM_BASE 0xb8000000u

void BOARD_InitHardware(void);

#endif
