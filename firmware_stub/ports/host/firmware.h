/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * firmware.h - the firmware: one virtio-gpio device a controller of the board,
 * each on its own rpmsg endpoint.
 */
#ifndef HOST_FIRMWARE_H
#define HOST_FIRMWARE_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "faults.h"
#include "filter.h"
#include "stub_loop.h"
#include "rpmsg_backend.h"
#include "rpmsg_gpio_device.h"
#include "serial_port.h"

/* The endpoint of controller n is this plus n. */
#define CONTROLLER_ADDRESS 0x400
/* Added to the address of a driver that is a port on the serial line. */
#define CONTROLLER_SERIAL 0x80000000u
/* The endpoint of the channel rpmsg-tty. */
#define TTY_ADDRESS 0x600
#define TTY_CHANNEL "rpmsg-tty"

struct firmware_options {
	uint32_t features; /* RPMSG_GPIO_F_* to offer */
	enum rpmsg_gpio_dialect dialect;
	bool strict;
	const struct message_filter *message_filter; /* NULL: none */
	const struct serial_filter *serial_filter;   /* NULL: none */
};

struct firmware;

struct controller {
	struct firmware *firmware;
	struct board_controller *board;
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line *lines;
	struct rpmsg_gpio_stream *streams;
	struct rpmsg_gpio_edge *edges;
	char *names;
	uint32_t features; /* to offer, where the board has what they need */
	uint32_t address;
	uint32_t driver; /* source of the last request */
	bool driver_known;
	bool announced;
};

/* The channel that carries the serial framing, in the place of those of the controllers. */
struct tty_channel {
	bool offered;
	bool announced;
	bool cable_out;
	uint32_t driver; /* where its bytes go, once serial is plugged in */
};

struct firmware {
	struct loop *loop;
	struct board *board;
	struct rpmsg_backend *backend; /* NULL without --socket */
	struct serial_port *serial;    /* NULL without --serial and --rpmsg-tty */
	struct tty_channel tty;
	struct faults faults;
	struct controller *controllers;
	unsigned int count;
	uint32_t epoch;
	const struct message_filter *message_filter; /* NULL: sound firmware */
	const struct serial_filter *serial_filter;
	struct loop_timer announce_timer;
	bool serial_quiet; /* its announcements are late */
	struct rpmsg_gpio_serial_channel channels[BOARD_CONTROLLERS_MAX];
	char channel_names[BOARD_CONTROLLERS_MAX][RPMSG_GPIO_SERIAL_NAME_MAX + 1];
	bool held; /* the backend keeps a message that we could not take */
	unsigned int strays; /* messages to an address that nobody has */
};

extern const struct rpmsg_backend_ops firmware_backend_ops; /* context: firmware */

/* Start the firmware on the board. Returns NULL without memory. */
struct firmware *firmware_new(struct loop *loop, struct board *board,
			      const struct firmware_options *options);
void firmware_free(struct firmware *firmware);
/* Open the serial port (serial_port_open()). */
bool firmware_open_serial(struct firmware *firmware, const char *path, uint32_t baud, char *why,
			  size_t why_size);
/* Offer the channel rpmsg-tty (serial_port_open_channel()). */
bool firmware_open_tty(struct firmware *firmware, char *why, size_t why_size);
/* Pull the serial line's cable, or plug it in: calls serial_port_plug(), or takes the channel
 * back and announces it again. False: errno. */
bool firmware_plug(struct firmware *firmware, bool plugged);
/* Whether somebody is attached, by whichever way. */
bool firmware_attached(const struct firmware *firmware);

/* Send a message of the controller to its driver. False: no buffer is free. */
bool controller_transmit(struct controller *controller, const void *message, size_t length);

/* Send what is due; called whenever the loop has nothing else to do. */
void firmware_run(struct firmware *firmware);
/* A processor reset: the guest is dropped, all state starts anew. */
void firmware_restart(struct firmware *firmware);
void firmware_stall(struct firmware *firmware, bool stalled);
/* Whether the interrupt of this pin waits to fire. */
bool firmware_armed(const struct board_pin *pin);
/* End all faults; announcements that are late come now. */
void firmware_clear_faults(struct firmware *firmware);
/* By its index on the board; NULL when there is none. */
struct controller *firmware_find(struct firmware *firmware, unsigned int index);
/* Announce the channel of a controller, or take it back, whatever was announced before. False: no
 * guest is there to hear it. */
bool firmware_announce(struct controller *controller, bool created);
/* The channel's name; `size` at least 32. */
void firmware_channel_name(const struct controller *controller, char *name, size_t size);

#endif
