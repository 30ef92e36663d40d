/* SPDX-License-Identifier: BSD-3-Clause */
/* adapter.c - an adapter: its life, and what Python asks. */
#include "adapter_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the session --------------------------------------------------------------------- */

/* The kernel's chip is gone: nobody uses the lines, unless the service ends. */
static void on_ended(struct usbip *usb)
{
	struct gb_adapter *adapter = of_usb(usb);

	adapter->status.plugged = false;
	adapter->debounces = false;
	memcpy(adapter->status.why, usb->why, sizeof(adapter->status.why));
	gb_timer_cancel(adapter->base.pump, &adapter->window);
	gb_exported_report(&adapter->base);
	if (adapter->base.closed)
		return;
	for (uint32_t i = 0; i < adapter->base.count; i++)
		adapter_let_go(&adapter->lines[i]);
}

static const struct usbip_ops usb_ops = {
	.received = dln2_received,
	.ready = pacing_ready,
	.ended = on_ended,
};

int gb_adapter_plug(struct gb_adapter *adapter, int socket, int helper)
{
	int error;

	gb_lock(adapter->base.pump);
	if (usbip_is_open(&adapter->usb)) {
		close(socket);
		if (helper >= 0)
			close(helper);
		error = -EBUSY;
	} else {
		error = usbip_open(&adapter->usb, socket, helper);
	}
	if (!error) {
		adapter->status.plugged = true;
		adapter->status.sessions++;
		adapter->status.why[0] = '\0';
	}
	gb_unlock(adapter->base.pump);
	return error;
}

void gb_adapter_unplug(struct gb_adapter *adapter)
{
	gb_lock(adapter->base.pump);
	usbip_close(&adapter->usb);
	gb_unlock(adapter->base.pump);
}

/* ---- what Python asks -------------------------------------------------------------------- */

void gb_adapter_status(struct gb_adapter *adapter, struct gb_adapter_status *status)
{
	gb_lock(adapter->base.pump);
	adapter->status.late = adapter->usb.late;
	*status = adapter->status;
	adapter->base.reported = false;
	gb_unlock(adapter->base.pump);
}

int64_t gb_adapter_changed(struct gb_adapter *adapter, uint32_t index)
{
	return gb_exported_changed(&adapter->base, index);
}

int gb_adapter_direction(struct gb_adapter *adapter, uint32_t index)
{
	int direction;

	if (index >= adapter->base.count)
		return -EINVAL;
	gb_lock(adapter->base.pump);
	direction = adapter->lines[index].direction;
	gb_unlock(adapter->base.pump);
	return direction;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void end(struct gb_adapter *adapter)
{
	gb_part_remove(&adapter->base.pump->users, &adapter->base.part);
	adapter->base.closed = true;
	usbip_close(&adapter->usb);
	for (uint32_t i = 0; i < adapter->base.count; i++)
		pacing_detach(&adapter->lines[i]);
	gb_exported_unreference(&adapter->base);
}

static void pump_ends(struct gb_part *part)
{
	end((struct gb_adapter *)(void *)((char *)part - offsetof(struct gb_adapter, base.part)));
}

static void free_adapter(struct gb_exported *exported)
{
	free((char *)exported - offsetof(struct gb_adapter, base));
}

void gb_adapter_close(struct gb_adapter *adapter)
{
	struct gb_pump *pump = adapter->base.pump;

	gb_lock(pump);
	end(adapter);
	gb_unlock(pump);
}

struct gb_adapter *gb_adapter_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_adapter_config *config)
{
	struct gb_adapter *adapter;

	errno = EINVAL;
	if (config->lines < 1 || config->lines > GB_ADAPTER_LINES_MAX)
		return NULL;
	adapter = calloc(1, sizeof(*adapter) + config->lines * sizeof(adapter->lines[0]));
	if (!adapter)
		return NULL;
	adapter->base = (struct gb_exported){
		.pump = pump,
		.part.free = pump_ends,
		.id = id,
		.timeout_ns = (uint64_t)config->timeout_ms * 1000000,
		.count = config->lines,
		.lines = adapter->lines,
		.line_size = sizeof(adapter->lines[0]),
		.references = 1,
		.free = free_adapter,
	};
	snprintf(adapter->texts[0], sizeof(adapter->texts[0]), "%s", config->product);
	snprintf(adapter->texts[1], sizeof(adapter->texts[1]), "%s", config->serial);
	adapter->identity = (struct usbip_identity){
		.vendor = 0xa257, .product = 0x2013,
		.texts = {"rpmsg-gpio-bridge", adapter->texts[0], adapter->texts[1]},
	};
	for (uint32_t i = 0; i < config->lines; i++)
		adapter->lines[i].kept = config->kept >> i & 1;
	pacing_init(adapter);
	usbip_init(&adapter->usb, pump, &usb_ops, &adapter->identity);
	gb_lock(pump);
	gb_part_add(&pump->users, &adapter->base.part);
	gb_unlock(pump);
	return adapter;
}
