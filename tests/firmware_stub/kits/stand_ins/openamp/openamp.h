/* SPDX-License-Identifier: BSD-3-Clause */
/* openamp.h - a stand-in for that of STM32Cube's example. */
#ifndef STAND_IN_OPENAMP_H
#define STAND_IN_OPENAMP_H

#include "openamp/open_amp.h"

int MX_OPENAMP_Init(int role, rpmsg_ns_bind_cb ns_bind_cb);
void OPENAMP_check_for_message(void);

#endif
