/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h - the client's end of the operation descriptor, in one call each. */
#ifndef GB_CLIENT_H
#define GB_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "operation.h"

/* To be called once for each descriptor received: no operation takes longer than this. 0,
 * -errno. */
int gb_client_prepare(int fd, uint32_t timeout_ms);

/*
 * One operation and its reply on `fd`; not thread safe for one fd. Sets
 * reply->error to ENODEV when the service hung up and to ETIMEDOUT when it
 * did not answer in timeout_ms; reply->reason is GB_REASON_NONE then, and there
 * is no body. Returns reply->error.
 */
int gb_client_operate(int fd, uint32_t timeout_ms, const struct gb_operation *operation,
		      struct gb_operation_reply *reply);
/* An operation and its answer, for callers with many: the same memory serves again. */
struct gb_exchange {
	struct gb_operation operation;
	struct gb_operation_reply reply;
};

/* The next operation of this exchange. */
const struct gb_operation *gb_exchange_next(struct gb_exchange *exchange, uint32_t code,
					    uint64_t mask, uint64_t bits);
/* The same for that operation. */
int gb_client_exchange(int fd, uint32_t timeout_ms, struct gb_exchange *exchange, uint32_t code,
		       uint64_t mask, uint64_t bits);
/* The same with a body in both directions; *reply_length holds the capacity at first. */
int gb_client_operate_body(int fd, uint32_t timeout_ms,
			   const struct gb_operation *operation,
			   const void *body, size_t length,
			   struct gb_operation_reply *reply,
			   void *reply_body, size_t *reply_length);

#endif
