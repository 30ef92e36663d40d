/* SPDX-License-Identifier: BSD-3-Clause */
/* SystemP.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_SYSTEMP_H
#define STAND_IN_SYSTEMP_H

#include <stdint.h>

#define SystemP_SUCCESS ((int32_t)0)
#define SystemP_FAILURE ((int32_t)-1)
#define SystemP_TIMEOUT ((int32_t)-2)
#define SystemP_NO_WAIT ((uint32_t)0)
#define SystemP_WAIT_FOREVER ((uint32_t)-1)

#endif
