/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations of a client in this process. */
#include "direct.h"

#include <errno.h>
#include <stdlib.h>

#include "request_internal.h"

struct gb_direct {
	struct gb_request *request; /* one of its references is ours */
	int fd;
};

struct gb_direct *gb_direct_open(struct gb_pump *pump, int fd)
{
	struct gb_direct *direct = malloc(sizeof(*direct));
	int error;

	if (!direct)
		return NULL;
	gb_lock(pump);
	*direct = (struct gb_direct){gb_request_with_end(pump, fd), fd};
	error = direct->request ? gb_pump_lend(pump) : -ENODEV;
	if (!error)
		direct->request->references++;
	gb_unlock(pump);
	if (!error)
		return direct;
	free(direct);
	errno = -error;
	return NULL;
}

void gb_direct_close(struct gb_direct *direct)
{
	struct gb_pump *pump = direct->request->pump;

	gb_lock(pump);
	gb_request_unreference(direct->request);
	gb_unlock(pump);
	free(direct);
}

int gb_direct_operate(struct gb_direct *direct, uint32_t timeout_ms,
		      const struct gb_operation *operation, struct gb_operation_reply *reply)
{
	struct gb_request *request = direct->request;
	struct gb_caller caller = {.reply = reply};
	struct gb_pump *pump = request->pump;

	gb_lock(pump);
	/* The descriptor says that the client was hung up on, or keeps its operations in order. */
	if (request->closed || request->hung_up || request->operation.busy) {
		gb_unlock(pump);
		return gb_client_operate(direct->fd, timeout_ms, operation, reply);
	}
	request->caller = &caller;
	gb_operation_start(request, operation, NULL, 0);
	gb_wait(pump, &caller.waiter);
	return reply->error;
}

int gb_direct_exchange(struct gb_direct *direct, uint32_t timeout_ms, struct gb_exchange *exchange,
		       uint32_t code, uint64_t mask, uint64_t bits)
{
	return gb_direct_operate(direct, timeout_ms, gb_exchange_next(exchange, code, mask, bits),
				 &exchange->reply);
}
