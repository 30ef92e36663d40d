/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * linux_gpio.h - the lines of a GPIO character device as a gpio port of the core.
 *
 * Each line that has a direction or an interrupt is a line request of its own
 * (GPIO_V2_GET_LINE_IOCTL), since lines come and go one by one. Everything
 * belongs to one thread; an ioctl may sleep where lines are behind I2C or SPI.
 */
#ifndef LINUX_GPIO_H
#define LINUX_GPIO_H

#include <stdbool.h>
#include <stdint.h>

#include "rpmsg_gpio_device.h"

/* Called when the kernel refuses something; `error` is the errno. */
typedef void (*linux_gpio_refused_fn)(void *context, uint16_t gpio, const char *what,
				      int error);

struct linux_gpio_line {
	int fd;               /* of the line request; -1: none */
	uint8_t direction;    /* VIRTIO_GPIO_DIRECTION_* */
	uint8_t irq_type;     /* VIRTIO_GPIO_IRQ_TYPE_* */
	uint8_t value;        /* last driven */
	bool quiet;           /* a level fired: silent until the re-arm */
	uint32_t config;      /* RPMSG_GPIO_LINE_* */
	uint32_t debounce_us;
	uint32_t line_seqno;  /* of the last edge; 0: none yet */
};

struct linux_gpio {
	int chip;             /* GPIO character device */
	int epoll;            /* line requests: readable for edges; data is the line's number */
	uint16_t ngpio;
	struct linux_gpio_line *lines;
	char *names;          /* ngpio NUL-terminated strings in a row; NULL: no line has one */
	uint32_t names_size;
	char label[RPMSG_GPIO_LABEL_SIZE + 1];
	linux_gpio_refused_fn refused; /* may be NULL */
	void *context;        /* its first argument */
	/* Set by the user of the port once it is there: edges go to it. */
	struct rpmsg_gpio_device *device;
};

/* The context of its functions is a struct linux_gpio. */
extern const struct rpmsg_gpio_port linux_gpio_port;

/*
 * Read a chip's label and the names of its lines. `chip` is an open GPIO character
 * device, which the port does not close. 0 or -errno (ENOTTY: it is none).
 * A name that virtio does not know as one, or that came before, is left out.
 */
int linux_gpio_open(struct linux_gpio *gpio, int chip);
/* Give all lines back. */
void linux_gpio_close(struct linux_gpio *gpio);

/* Hand the edges of a line that wait to the device, at most a bounded number. 0, or -errno: the
 * chip is gone. */
int linux_gpio_take_edges(struct linux_gpio *gpio, uint16_t number);

#endif
