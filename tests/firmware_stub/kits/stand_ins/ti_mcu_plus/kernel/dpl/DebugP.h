/* SPDX-License-Identifier: BSD-3-Clause */
/* DebugP.h - a stand-in for TI's MCU+ SDK: asserts can be left out. */
#ifndef STAND_IN_DEBUGP_H
#define STAND_IN_DEBUGP_H

#define DebugP_assert(expression) /* as with DebugP_ASSERT_ENABLED 0 */

void DebugP_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
