/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * direct.h - operations of a client in the pump's own process. Its thread starts them itself and
 * runs the pump's loop while it waits, so that no thread hands over to another.
 */
#ifndef GB_DIRECT_H
#define GB_DIRECT_H

#include "client.h"
#include "request.h"

struct gb_direct;

/* For the client whose operation descriptor is `fd`, which stays its own and open for longer.
 * The pump must not end before gb_direct_close(). NULL with errno; ENODEV: the pump has no
 * such request. */
struct gb_direct *gb_direct_open(struct gb_pump *pump, int fd);
/* GET and SET as by gb_client_operate(), and by it where the descriptor has to be used. */
int gb_direct_operate(struct gb_direct *direct, uint32_t timeout_ms,
		      const struct gb_operation *operation, struct gb_operation_reply *reply);
/* As gb_client_exchange(). */
int gb_direct_exchange(struct gb_direct *direct, uint32_t timeout_ms, struct gb_exchange *exchange,
		       uint32_t code, uint64_t mask, uint64_t bits);
void gb_direct_close(struct gb_direct *direct);

#endif
