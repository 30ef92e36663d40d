/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - a stand-in for Zephyr's. */
#ifndef STAND_IN_LOG_H
#define STAND_IN_LOG_H

void stand_in_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define LOG_MODULE_REGISTER(name) extern int stand_in_log_##name
#define LOG_ERR(...) stand_in_log(__VA_ARGS__)

#endif
