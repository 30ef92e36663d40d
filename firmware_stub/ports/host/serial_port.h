/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_port.h - the UART of the simulated board: a pty, a tty that exists, or an
 * rpmsg channel that carries bytes.
 *
 * Between it and the framing of the firmware core lies a wire that may be as
 * noisy as wanted, and with a pty as slow as a real one.
 */
#ifndef HOST_SERIAL_PORT_H
#define HOST_SERIAL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter.h"
#include "stub_loop.h"
#include "rpmsg_gpio_serial.h"

#define SERIAL_PORT_BAUD_MAX 100000000u
/* An rpmsg buffer less its header. */
#define SERIAL_PORT_MESSAGE_MAX 496u

struct serial_port;

/* Sends a message of a channel. False: there is no buffer; call serial_port_run() when there is
 * one. */
typedef bool (*serial_port_send_fn)(void *context, const uint8_t *bytes, size_t length);

/*
 * `path`: a tty, which is opened and set to `baud`; or a name that becomes a
 * symbolic link to a new pty, whose bytes take the time that `baud` gives
 * them, none with 0. `config` is that of the core without ops and context;
 * its `received` and `session` go to ops. Returns NULL and a sentence in why[].
 */
struct serial_port *serial_port_open(struct loop *loop, const char *path, uint32_t baud,
				     const struct rpmsg_gpio_serial_config *config, char *why,
				     size_t why_size);
/* The same over a channel, unplugged at first. `send` gets the context of `config`. */
struct serial_port *serial_port_open_channel(struct loop *loop, serial_port_send_fn send,
					     const struct rpmsg_gpio_serial_config *config,
					     char *why, size_t why_size);
/* A message of the channel came. False: no room, offer it again later. */
bool serial_port_take(struct serial_port *port, const void *bytes, size_t length);
void serial_port_close(struct serial_port *port);

bool serial_port_send(struct serial_port *port, uint8_t endpoint, uint8_t driver,
		      const void *message, size_t length);
/* Take what came; to be called before the firmware runs. */
void serial_port_receive(struct serial_port *port);
/* Say what is due; to be called before the loop sleeps. */
void serial_port_run(struct serial_port *port);
bool serial_port_up(const struct serial_port *port);

/* Put a filter between the core and the wire; NULL: none. A slow UART then takes whole frames. */
void serial_port_filter(struct serial_port *port, const struct serial_filter *filter);
/* The firmware was reset. */
void serial_port_restart(struct serial_port *port, uint32_t epoch);
/* No announcements from now on, or all of them now. */
void serial_port_quiet(struct serial_port *port, bool quiet);
/* The firmware hangs: bytes that come are lost. */
void serial_port_stall(struct serial_port *port, bool stalled);
/* Of a million bytes, `per_million` have a bit flipped, as many are lost, and as many more come
 * in; the same seed does the same again. 0 stops it. */
void serial_port_noise(struct serial_port *port, uint32_t per_million, uint64_t seed);
/* Pull the cable, so that the pty is gone, or plug in a new one. With a channel: nobody listens,
 * or somebody does. False: errno. */
bool serial_port_plug(struct serial_port *port, bool plugged);

#endif
