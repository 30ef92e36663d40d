/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter.h - up to 32 lines of controllers as a Diolan DLN-2, a USB adapter for which Linux
 * has drivers (dln2, gpio-dln2): behind a USB/IP connection to vhci_hcd they are a gpiochip of
 * this kernel. What Python calls.
 *
 * A line of the adapter is attached to a line of a controller, and detached when that goes
 * away; the kernel sees ENODEV meanwhile. What it has set up is set up again when the line is
 * attached the next time.
 */
#ifndef GB_ADAPTER_H
#define GB_ADAPTER_H

#include <stdbool.h>
#include <stdint.h>

#include "pump/controller.h"

struct gb_adapter;

#define GB_ADAPTER_LINES_MAX 32
#define GB_ADAPTER_WHY_MAX   200

struct gb_adapter_status {
	bool plugged;      /* a kernel is served */
	uint64_t sessions; /* that began so far */
	uint64_t requests; /* of the kernel, so far */
	uint64_t events;   /* given to it so far */
	uint64_t lost;     /* edges that it did not get */
	uint64_t late;     /* requests that ended with ETIMEDOUT for want of an answer */
	uint64_t faults;   /* lines that could not be set up again, armed or let go */
	char why[GB_ADAPTER_WHY_MAX]; /* why the last session was ended; empty: the kernel left */
};

struct gb_adapter_config {
	uint32_t lines;      /* 1..GB_ADAPTER_LINES_MAX */
	uint32_t kept;       /* a bit for each line that stays as it is when it is let go */
	const char *product; /* ASCII, as is the serial number */
	const char *serial;
	uint32_t timeout_ms; /* deadline of one request to a controller */
};

/* Reports GB_REPORT_EXPORT with `id` when the status or the direction of a line changed.
 * NULL with errno. */
struct gb_adapter *gb_adapter_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_adapter_config *config);
/* Serve a kernel on the other end of `socket`; `helper` says who plugs it in (usb/liveness.h).
 * Both are the adapter's from here on. 0; -EBUSY: it serves one already; -errno. */
int gb_adapter_plug(struct gb_adapter *adapter, int socket, int helper);
/* The kernel hangs up on it; nothing, if none is served. */
void gb_adapter_unplug(struct gb_adapter *adapter);
/* Returns 0; -EBUSY: the controller's line has an owner; -EINVAL, -ENOMEM. */
int gb_adapter_attach(struct gb_adapter *adapter, uint32_t index,
		      struct gb_controller *controller, uint16_t gpio);
void gb_adapter_detach(struct gb_adapter *adapter, uint32_t index);
void gb_adapter_status(struct gb_adapter *adapter, struct gb_adapter_status *status);
/* The first line from `index` on whose direction the kernel has changed since it was named here
 * the last time; -1: none. The report comes after the change. */
int64_t gb_adapter_changed(struct gb_adapter *adapter, uint32_t index);
/* VIRTIO_GPIO_DIRECTION_* that the kernel has set; -EINVAL. */
int gb_adapter_direction(struct gb_adapter *adapter, uint32_t index);
/* End it: the kernel's chip goes, the lines stay as they are. */
void gb_adapter_close(struct gb_adapter *adapter);

#endif
