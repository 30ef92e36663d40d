/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * controller.h - the firmware: one virtio-gpio device a controller of the board,
 * each on its own rpmsg endpoint.
 */
#ifndef HOST_CONTROLLER_H
#define HOST_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "faults.h"
#include "loop.h"
#include "rpmsg_backend.h"
#include "rpmsg_gpio_device.h"

/* The endpoint of controller n is this plus n. */
#define CONTROLLER_ADDRESS 0x400

struct firmware_options {
	uint32_t features; /* RPMSG_GPIO_F_* to offer */
	enum rpmsg_gpio_dialect dialect;
	bool strict;
};

struct firmware;

struct controller {
	struct firmware *firmware;
	struct board_controller *board;
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line *lines;
	char *names;
	uint32_t address;
	uint32_t driver; /* source of the last request */
	bool driver_known;
	bool announced;
};

struct firmware {
	struct loop *loop;
	struct board *board;
	struct rpmsg_backend *backend;
	struct faults faults;
	struct controller *controllers;
	unsigned int count;
	uint32_t epoch;
	struct loop_timer announce_timer;
	bool held; /* the backend keeps a message that we could not take */
	unsigned int strays; /* messages to an address nobody has */
};

extern const struct rpmsg_backend_ops firmware_backend_ops; /* context: firmware */

/* Start the firmware on the board. Returns NULL without memory. */
struct firmware *firmware_new(struct loop *loop, struct board *board,
			      const struct firmware_options *options);
void firmware_free(struct firmware *firmware);

/* Send what is due; called whenever the loop has nothing else to do. */
void firmware_run(struct firmware *firmware);
/* A processor reset: the guest is dropped, all state starts anew. */
void firmware_restart(struct firmware *firmware);
void firmware_stall(struct firmware *firmware, bool stalled);
/* Whether the interrupt of this pin waits to fire. */
bool firmware_armed(const struct board_pin *pin);
/* The channel's name; `size` at least 32. */
void firmware_channel_name(const struct controller *controller, char *name, size_t size);

#endif
