/* SPDX-License-Identifier: BSD-3-Clause */
/* AddrTranslateP.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_ADDRTRANSLATEP_H
#define STAND_IN_ADDRTRANSLATEP_H

#include <stdint.h>

void *AddrTranslateP_getLocalAddr(uint64_t system_address);

#endif
