/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_device.h - the virtio-gpio device as a state machine.
 *
 * Portable C99, freestanding, no allocation, bounded work per call. Two seams:
 * the gpio port (what pins can do) and the message port (send on an endpoint).
 *
 * Threads: everything but rpmsg_gpio_device_irq(), rpmsg_gpio_device_edge() and
 * rpmsg_gpio_device_lost() belongs to one context (a main loop or one task).
 * These may be called from an interrupt at any time, but must not interrupt one another; they only
 * store and never send. The exception: set_irq_type() may call
 * rpmsg_gpio_device_irq(), with interrupts on, before it enables that of the pin.
 */
#ifndef RPMSG_GPIO_DEVICE_H
#define RPMSG_GPIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg_gpio.h"
#include "rpmsg_gpio_config.h"

/*
 * The gpio port: implemented once per MCU. Each returns false when the pin
 * cannot do what is asked; the device then answers ERR and keeps its state.
 */
struct rpmsg_gpio_port {
	/* VIRTIO_GPIO_DIRECTION_*; `value` is the level to drive when OUT.
	 * NONE gives the pin back: undriven, reset state. */
	bool (*set_direction)(void *context, uint16_t gpio, uint8_t direction,
			      uint8_t value);
	bool (*set_value)(void *context, uint16_t gpio, uint8_t value);
	bool (*get_value)(void *context, uint16_t gpio, uint8_t *value);
	/* Enable (VIRTIO_GPIO_IRQ_TYPE_*) or disable (NONE) the interrupt of a
	 * pin. Called again with the same type at each re-arm: a level type
	 * must then look at the pin and call rpmsg_gpio_device_irq() when it
	 * is active; an edge type needs to do nothing. A level interrupt that
	 * fired stays silent in the hardware until that call. The result of
	 * NONE is ignored: the device drops what comes from a disabled line. */
	bool (*set_irq_type)(void *context, uint16_t gpio, uint8_t type);

	/* The rest is optional, NULL where a board does not have it. */

	/* TIMESTAMP: a clock in ns that never goes back and is not set; rpmsg_gpio_device_edge()
	 * is given the time of the same clock. */
	uint64_t (*get_time)(void *context);
	/* BULK, in one go: bit n of a mask is line `first` + n. set_values() gets outputs only,
	 * and sets all of them or none. Without these functions the core takes lines one after
	 * the other. */
	bool (*get_values)(void *context, uint16_t first, uint64_t mask,
			   uint64_t *values);
	bool (*set_values)(void *context, uint16_t first, uint64_t mask,
			   uint64_t values);
	/* LINE_CONFIG, both or none: RPMSG_GPIO_LINE_*. set_config() is asked
	 * only for what get_caps() has told, and changes all or nothing; flags
	 * and debounce 0 is the state after a reset. */
	void (*get_caps)(void *context, uint16_t gpio, uint32_t *caps,
			 uint32_t *max_debounce_us);
	bool (*set_config)(void *context, uint16_t gpio, uint32_t flags,
			   uint32_t debounce_us);
};

/*
 * The message port. Returns false when no transmit buffer is free; the core
 * keeps the message and tries again in rpmsg_gpio_device_run(). event_max: the
 * longest message of event records, 0 for RPMSG_GPIO_MESSAGE_MAX; less where a
 * long message is likely to be damaged, or lets a reply wait, as on a UART.
 */
struct rpmsg_gpio_channel {
	bool (*send)(void *context, const void *message, size_t length);
	uint16_t event_max;
};

/* An edge between the interrupt and rpmsg_gpio_device_run(). Words of 32 bits, so that it has
 * 12 bytes where 64 would be aligned to 8. */
struct rpmsg_gpio_edge {
	uint32_t time_low, time_high; /* ns of the device's clock */
	uint16_t gpio;
	uint16_t number; /* the low 15 bits of the line's count of edges, * 2 + level */
};

/* What the core keeps for a line. The integrator only provides the memory. */
struct rpmsg_gpio_line {
	uint8_t direction;
	uint8_t value;           /* level last set by the driver */
	uint8_t irq_type;
	uint8_t flags;           /* RPMSG_GPIO_LINE_STATE_*, private */
	volatile uint8_t fired;  /* stored by rpmsg_gpio_device_irq() */
};

/* The same, for CREDITS and TIMESTAMP. */
struct rpmsg_gpio_stream {
	uint32_t held_low, held_high; /* time of the latest edge that could not be sent */
	/* Stored by the interrupt side alone; never reset. Edges so far * 4, + 2 when the latest
	 * found no room, + its level then: in one word, so that nobody sees a half of it. */
	volatile uint32_t edges;
	/* The driver's count begins when the irq type leaves NONE, with `base`. */
	uint32_t base;           /* edges so far at that time */
	uint32_t last;           /* edges dealt with since */
	uint32_t granted, sent;
};

enum rpmsg_gpio_dialect {
	RPMSG_GPIO_DIALECT_PADDED,     /* rpmsg-gpio-padded: 4-byte messages, the default */
	RPMSG_GPIO_DIALECT_DOCUMENTED, /* rpmsg-gpio: 3-byte messages */
};

/* Constant for the life of a device; the core keeps the pointer. */
struct rpmsg_gpio_device_config {
	const struct rpmsg_gpio_port *port;
	void *port_context;
	const struct rpmsg_gpio_channel *channel;
	void *channel_context;
	struct rpmsg_gpio_line *lines; /* array of ngpio */
	/* Needed to offer CREDITS and TIMESTAMP: an array of ngpio, and edges on
	 * their way, a power of two at most 32768. 16 to 64 ride out most bursts;
	 * what finds no room is counted, and the driver told. */
	struct rpmsg_gpio_stream *streams;
	volatile struct rpmsg_gpio_edge *edges;
	uint16_t edge_count;
	uint16_t ngpio;
	uint32_t features;       /* of RPMSG_GPIO_FEATURES those to offer; 0: baseline */
	uint32_t epoch;          /* differs at every boot; used with EPOCH */
	const char *label;       /* at most RPMSG_GPIO_LABEL_SIZE, may be NULL */
	const char *names;       /* ngpio NUL-terminated strings in a row, or NULL */
	uint32_t names_size;     /* bytes of `names`, NULs included */
	enum rpmsg_gpio_dialect dialect;
	bool strict;             /* refuse what virtio forbids a driver to do */
};

/* COUNTERS: as in struct rpmsg_gpio_counters_body. */
struct rpmsg_gpio_counters {
	uint32_t requests, refused, sent, starved;
	volatile uint32_t overruns; /* stored by the interrupt side alone */
#ifdef RPMSG_GPIO_SELF_TEST
	uint32_t self_test; /* of rpmsg_gpio_self_test() */
#endif
};

struct rpmsg_gpio_device {
	const struct rpmsg_gpio_device_config *config;
	uint32_t features;        /* accepted by the driver */
	volatile uint8_t pending; /* some line has something to say */
	volatile uint8_t overflowed; /* some line has missed edges */
	volatile uint16_t edge_head; /* written by the interrupt side */
	volatile uint16_t edge_tail;
	uint16_t scan;            /* where the next event search starts */
	uint16_t reply_length;    /* 0: nothing waits for a buffer */
	uint16_t batch_length;    /* event records gathered in `reply` */
	bool refused;             /* a request waits: no more events before it */
#if RPMSG_GPIO_FEATURES & RPMSG_GPIO_F_COUNTERS
	struct rpmsg_gpio_counters counters;
#endif
	uint8_t reply[RPMSG_GPIO_REPLY_MAX];
};

/*
 * Start a device: every line without direction, value, interrupt. The port is
 * not called: the pins are taken to be in their reset state.
 */
void rpmsg_gpio_device_init(struct rpmsg_gpio_device *device,
			    const struct rpmsg_gpio_device_config *config);

/*
 * Handle one message from the driver and send its reply. Returns false when
 * an earlier reply or event still waits for a transmit buffer: keep the message
 * and offer it again after rpmsg_gpio_device_run(), which sends no more events
 * before it: a burst must not starve the requests.
 */
bool rpmsg_gpio_device_receive(struct rpmsg_gpio_device *device,
			       const void *message, size_t length);

/*
 * For a channel that sends to whoever asked last: ask before the sender of the next
 * message takes the place of the one before. False when an earlier reply or event still
 * waits, which is the other's: keep the message, as one that was refused.
 */
static inline bool rpmsg_gpio_device_ready(struct rpmsg_gpio_device *device)
{
	device->refused = device->reply_length;
	return !device->refused;
}

/* The enabled interrupt of a line fired (ISR safe). */
void rpmsg_gpio_device_irq(struct rpmsg_gpio_device *device, uint16_t gpio);

/* The same for an edge whose level is known, at a known time in ns of the device's clock (0
 * without one): with CREDITS and TIMESTAMP each edge is an event of its own. A port that gives
 * `edges` calls this for edge types, and rpmsg_gpio_device_irq() for level types (ISR safe). */
void rpmsg_gpio_device_edge(struct rpmsg_gpio_device *device, uint16_t gpio,
			    bool level, uint64_t timestamp);

/* Edges that the port knows to have lost show as a gap in the numbers, before the next edge of
 * the line (ISR safe, as the others). */
void rpmsg_gpio_device_lost(struct rpmsg_gpio_device *device, uint16_t gpio, uint32_t edges);

/*
 * Send what is due: a waiting reply, then at most one event a line, or with
 * CREDITS and TIMESTAMP at most `edge_count` and one event a line. Returns
 * true when nothing is left, false when a transmit buffer was missing. Call it
 * after each rpmsg_gpio_device_receive(), when a buffer was freed, and when
 * `pending` is set; look at `pending` with interrupts off before sleeping.
 */
bool rpmsg_gpio_device_run(struct rpmsg_gpio_device *device);

/* Whether an edge now would be sent as an event of its own: enabled, unmasked
 * or with credits, nothing latched, room in `edges`. */
bool rpmsg_gpio_device_armed(const struct rpmsg_gpio_device *device,
			     uint16_t gpio);

#endif
