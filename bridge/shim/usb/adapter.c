/* SPDX-License-Identifier: BSD-3-Clause */
/* adapter.c - an adapter: its life, and what Python asks. */
#include "adapter_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void adapter_unreference(struct gb_adapter *adapter)
{
	if (--adapter->references == 0)
		free(adapter);
}

void adapter_report(struct gb_adapter *adapter)
{
	if (adapter->reported || adapter->closed)
		return;
	adapter->reported = gb_report_add(adapter->pump, GB_REPORT_EXPORT, adapter->id) != NULL;
}

/* ---- the session --------------------------------------------------------------------- */

/* The kernel's chip is gone: nobody uses the lines, unless the service ends. */
static void on_ended(struct usbip *usb)
{
	struct gb_adapter *adapter = of_usb(usb);

	adapter->status.plugged = false;
	adapter->debounces = false;
	memcpy(adapter->status.why, usb->why, sizeof(adapter->status.why));
	gb_timer_cancel(adapter->pump, &adapter->window);
	adapter_report(adapter);
	if (adapter->closed)
		return;
	for (uint32_t i = 0; i < adapter->count; i++)
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

	gb_lock(adapter->pump);
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
	gb_unlock(adapter->pump);
	return error;
}

void gb_adapter_unplug(struct gb_adapter *adapter)
{
	gb_lock(adapter->pump);
	usbip_close(&adapter->usb);
	gb_unlock(adapter->pump);
}

/* ---- what Python asks -------------------------------------------------------------------- */

void gb_adapter_status(struct gb_adapter *adapter, struct gb_adapter_status *status)
{
	gb_lock(adapter->pump);
	adapter->status.late = adapter->usb.late;
	*status = adapter->status;
	adapter->reported = false;
	gb_unlock(adapter->pump);
}

int64_t gb_adapter_changed(struct gb_adapter *adapter, uint32_t index)
{
	int64_t found = -1;

	gb_lock(adapter->pump);
	while (index < adapter->count && !adapter->lines[index].changed)
		index++;
	if (index < adapter->count) {
		adapter->lines[index].changed = false;
		found = index;
	}
	gb_unlock(adapter->pump);
	return found;
}

int gb_adapter_direction(struct gb_adapter *adapter, uint32_t index)
{
	int direction;

	if (index >= adapter->count)
		return -EINVAL;
	gb_lock(adapter->pump);
	direction = adapter->lines[index].direction;
	gb_unlock(adapter->pump);
	return direction;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void end(struct gb_adapter *adapter)
{
	gb_part_remove(&adapter->pump->users, &adapter->part);
	adapter->closed = true;
	usbip_close(&adapter->usb);
	for (uint32_t i = 0; i < adapter->count; i++)
		adapter_detach(&adapter->lines[i]);
	adapter_unreference(adapter);
}

static void free_adapter(struct gb_part *part)
{
	end((struct gb_adapter *)(void *)((char *)part - offsetof(struct gb_adapter, part)));
}

void gb_adapter_close(struct gb_adapter *adapter)
{
	struct gb_pump *pump = adapter->pump;

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
	adapter->pump = pump;
	adapter->id = id;
	adapter->references = 1;
	adapter->count = config->lines;
	adapter->timeout_ns = (uint64_t)config->timeout_ms * 1000000;
	adapter->part.free = free_adapter;
	snprintf(adapter->texts[0], sizeof(adapter->texts[0]), "%s", config->product);
	snprintf(adapter->texts[1], sizeof(adapter->texts[1]), "%s", config->serial);
	adapter->identity = (struct usbip_identity){
		.vendor = 0xa257, .product = 0x2013,
		.texts = {"rpmsg-gpio-bridge", adapter->texts[0], adapter->texts[1]},
	};
	for (uint32_t i = 0; i < config->lines; i++) {
		adapter->lines[i].adapter = adapter;
		adapter->lines[i].kept = config->kept >> i & 1;
	}
	pacing_init(adapter);
	usbip_init(&adapter->usb, pump, &usb_ops, &adapter->identity);
	gb_lock(pump);
	gb_part_add(&pump->users, &adapter->part);
	gb_unlock(pump);
	return adapter;
}
