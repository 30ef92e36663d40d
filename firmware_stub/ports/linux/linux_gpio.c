/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "linux_gpio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Who holds the lines, for the kernel's other users. */
#define CONSUMER "gpio-bridge"
/* Edges of a line that the kernel keeps for us; a gap shows in their numbers. */
#define KERNEL_BUFFER 256
#define EVENTS_A_READ 16

#define EDGES (GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING)

static struct linux_gpio_line *line_of(void *context, uint16_t gpio)
{
	return &((struct linux_gpio *)context)->lines[gpio];
}

static bool refuse(struct linux_gpio *gpio, uint16_t line, const char *what)
{
	if (gpio->refused)
		gpio->refused(gpio->context, line, what, errno);
	return false;
}

static bool is_level(uint8_t irq_type)
{
	return irq_type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       irq_type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

/* ---- settings, in the kernel's words ------------------------------------- */

/* The kernel has no level interrupts: they are made of edges and a look at the line. */
static uint64_t edge_flags(uint8_t irq_type)
{
	switch (irq_type) {
	case VIRTIO_GPIO_IRQ_TYPE_NONE:
		return 0;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
		return GPIO_V2_LINE_FLAG_EDGE_RISING;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
		return GPIO_V2_LINE_FLAG_EDGE_FALLING;
	default:
		return EDGES;
	}
}

static uint64_t bias_flags(uint32_t config)
{
	if (config & RPMSG_GPIO_LINE_PULL_UP)
		return GPIO_V2_LINE_FLAG_BIAS_PULL_UP;
	if (config & RPMSG_GPIO_LINE_PULL_DOWN)
		return GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN;
	return config & RPMSG_GPIO_LINE_BIAS_DISABLE ? GPIO_V2_LINE_FLAG_BIAS_DISABLED : 0;
}

static uint64_t drive_flags(uint32_t config)
{
	if (config & RPMSG_GPIO_LINE_OPEN_DRAIN)
		return GPIO_V2_LINE_FLAG_OPEN_DRAIN;
	return config & RPMSG_GPIO_LINE_OPEN_SOURCE ? GPIO_V2_LINE_FLAG_OPEN_SOURCE : 0;
}

static void add_attribute(struct gpio_v2_line_config *config, struct gpio_v2_line_attribute attr)
{
	config->attrs[config->num_attrs].attr = attr;
	config->attrs[config->num_attrs++].mask = 1;
}

static void describe(const struct linux_gpio_line *line, struct gpio_v2_line_config *config)
{
	memset(config, 0, sizeof(*config));
	config->flags = bias_flags(line->config);
	if (line->direction == VIRTIO_GPIO_DIRECTION_OUT) {
		config->flags |= GPIO_V2_LINE_FLAG_OUTPUT | drive_flags(line->config);
		add_attribute(config, (struct gpio_v2_line_attribute){
					      .id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES,
					      .values = line->value,
				      });
		return;
	}
	config->flags |= GPIO_V2_LINE_FLAG_INPUT | edge_flags(line->irq_type);
	if (line->debounce_us)
		add_attribute(config, (struct gpio_v2_line_attribute){
					      .id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE,
					      .debounce_period_us = line->debounce_us,
				      });
}

/* ---- line requests ------------------------------------------------------- */

static int request_line(const struct linux_gpio *gpio, uint16_t line,
			const struct gpio_v2_line_config *config)
{
	struct gpio_v2_line_request request = {
		.offsets = {line},
		.consumer = CONSUMER,
		.config = *config,
		.num_lines = 1,
		.event_buffer_size = KERNEL_BUFFER,
	};

	if (ioctl(gpio->chip, GPIO_V2_GET_LINE_IOCTL, &request))
		return -1;
	return request.fd;
}

static bool watch(const struct linux_gpio *gpio, uint16_t line, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = line};
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK) &&
	       !epoll_ctl(gpio->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void let_go(struct linux_gpio_line *line)
{
	if (line->fd >= 0)
		close(line->fd); /* leaves the epoll set with it */
	line->fd = -1;
}

/* Forgets what an earlier interrupt of the line left behind. */
static void drop_edges(struct linux_gpio_line *line)
{
	struct gpio_v2_line_event events[EVENTS_A_READ];

	while (read(line->fd, events, sizeof(events)) > 0)
		;
	line->line_seqno = 0;
}

/* Make the kernel's line what `wanted` says. False: nothing has changed. */
static bool apply(struct linux_gpio *gpio, uint16_t number, const struct linux_gpio_line *wanted,
		  const char *what)
{
	struct linux_gpio_line *line = &gpio->lines[number];
	struct gpio_v2_line_config config;
	int fd = line->fd;

	describe(wanted, &config);
	if (fd >= 0) {
		if (ioctl(fd, GPIO_V2_LINE_SET_CONFIG_IOCTL, &config))
			return refuse(gpio, number, what);
	} else {
		fd = request_line(gpio, number, &config);
		if (fd < 0)
			return refuse(gpio, number, what);
		if (!watch(gpio, number, fd)) {
			refuse(gpio, number, what);
			close(fd);
			return false;
		}
	}
	*line = *wanted;
	line->fd = fd;
	drop_edges(line);
	return true;
}

static bool read_level(int fd, uint8_t *value)
{
	struct gpio_v2_line_values values = {.mask = 1};

	if (ioctl(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values))
		return false;
	*value = values.bits & 1;
	return true;
}

/* A level that is active fires, and is then silent until SET_IRQ_TYPE comes again. */
static void look(struct linux_gpio *gpio, uint16_t number)
{
	struct linux_gpio_line *line = &gpio->lines[number];
	uint8_t active = line->irq_type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH;
	uint8_t level;

	if (line->quiet || !read_level(line->fd, &level) || level != active)
		return;
	line->quiet = true;
	rpmsg_gpio_device_irq(gpio->device, number);
}

/* ---- the port ------------------------------------------------------------ */

static bool port_set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	struct linux_gpio_line *line = line_of(context, gpio), wanted = *line;

	if (direction == VIRTIO_GPIO_DIRECTION_NONE) {
		let_go(line);
		*line = (struct linux_gpio_line){.fd = -1};
		return true;
	}
	wanted.direction = direction;
	wanted.value = value;
	if (!apply(context, gpio, &wanted, "SET_DIRECTION"))
		return false;
	if (is_level(line->irq_type))
		look(context, gpio); /* no edge will report it */
	return true;
}

static bool port_set_value(void *context, uint16_t gpio, uint8_t value)
{
	struct linux_gpio_line *line = line_of(context, gpio);
	struct gpio_v2_line_values values = {.bits = value, .mask = 1};

	if (ioctl(line->fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values))
		return refuse(context, gpio, "SET_VALUE");
	line->value = value;
	return true;
}

/* A line without direction is read as it is. */
static bool port_get_value(void *context, uint16_t gpio, uint8_t *value)
{
	static const struct gpio_v2_line_config as_is;
	const struct linux_gpio_line *line = line_of(context, gpio);
	int fd = line->fd >= 0 ? line->fd : request_line(context, gpio, &as_is);
	bool ok = fd >= 0 && read_level(fd, value);

	if (!ok)
		refuse(context, gpio, "GET_VALUE");
	if (fd >= 0 && fd != line->fd)
		close(fd);
	return ok;
}

static bool port_set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	struct linux_gpio_line *line = line_of(context, gpio), wanted = *line;

	if (type != line->irq_type) {
		wanted.irq_type = type;
		/* The kernel has no edges of outputs: the type is kept for when the line is an
		 * input. */
		if (line->direction == VIRTIO_GPIO_DIRECTION_OUT ||
		    (type == VIRTIO_GPIO_IRQ_TYPE_NONE && line->fd < 0))
			*line = wanted;
		else if (!apply(context, gpio, &wanted, "SET_IRQ_TYPE"))
			return false;
	}
	if (is_level(type)) {
		line->quiet = false;
		look(context, gpio);
	}
	return true;
}

static uint64_t port_get_time(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now); /* the clock of the kernel's events */
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The kernel does in software what the hardware cannot, except bias. It does not say whether
 * there is bias: as for its own users, a bias without hardware for it has no effect. */
static void port_get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context;
	(void)gpio;
	*caps = RPMSG_GPIO_LINE_BIAS | RPMSG_GPIO_LINE_DRIVE | RPMSG_GPIO_LINE_DEBOUNCE;
	*max_debounce_us = UINT32_MAX;
}

static bool port_set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	struct linux_gpio_line *line = line_of(context, gpio), wanted = *line;

	wanted.config = flags;
	wanted.debounce_us = debounce_us;
	if (line->fd >= 0)
		return apply(context, gpio, &wanted, "SET_LINE_CONFIG");
	*line = wanted;
	return true;
}

const struct rpmsg_gpio_port linux_gpio_port = {
	.set_direction = port_set_direction,
	.set_value = port_set_value,
	.get_value = port_get_value,
	.set_irq_type = port_set_irq_type,
	.get_time = port_get_time,
	.get_caps = port_get_caps,
	.set_config = port_set_config,
};

/* ---- edges --------------------------------------------------------------- */

/* A gap in the kernel's numbers, for edges that it had no room for, becomes a gap in ours. */
static void count_lost(struct linux_gpio *gpio, uint16_t number, uint32_t line_seqno)
{
	struct linux_gpio_line *line = &gpio->lines[number];

	if (line->line_seqno)
		rpmsg_gpio_device_lost(gpio->device, number, line_seqno - line->line_seqno - 1);
	line->line_seqno = line_seqno;
}

static void deliver(struct linux_gpio *gpio, uint16_t number,
		    const struct gpio_v2_line_event *event)
{
	if (is_level(gpio->lines[number].irq_type)) {
		look(gpio, number);
		return;
	}
	count_lost(gpio, number, event->line_seqno);
	rpmsg_gpio_device_edge(gpio->device, number,
			       event->id == GPIO_V2_LINE_EVENT_RISING_EDGE, event->timestamp_ns);
}

int linux_gpio_take_edges(struct linux_gpio *gpio, uint16_t number)
{
	struct gpio_v2_line_event events[EVENTS_A_READ];
	ssize_t got = read(gpio->lines[number].fd, events, sizeof(events));

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < (size_t)got / sizeof(events[0]); i++)
		deliver(gpio, number, &events[i]);
	return 0;
}

/* ---- label and names ----------------------------------------------------- */

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static bool is_named(const struct linux_gpio *gpio, const char *name)
{
	for (uint32_t at = 0; at < gpio->names_size; at += (uint32_t)strlen(gpio->names + at) + 1)
		if (!strcmp(gpio->names + at, name))
			return true;
	return false;
}

static int read_names(struct linux_gpio *gpio)
{
	bool some = false;

	gpio->names = calloc(gpio->ngpio, GPIO_MAX_NAME_SIZE);
	if (!gpio->names)
		return -ENOMEM;
	for (uint16_t i = 0; i < gpio->ngpio; i++) {
		struct gpio_v2_line_info info = {.offset = i};
		char *name = gpio->names + gpio->names_size;

		if (ioctl(gpio->chip, GPIO_V2_GET_LINEINFO_IOCTL, &info))
			return -errno;
		info.name[sizeof(info.name) - 1] = '\0';
		if (is_ascii(info.name) && (!info.name[0] || !is_named(gpio, info.name)))
			strcpy(name, info.name);
		some = some || name[0];
		gpio->names_size += (uint32_t)strlen(name) + 1;
	}
	if (!some) {
		free(gpio->names);
		gpio->names = NULL;
		gpio->names_size = 0;
	}
	return 0;
}

static void read_label(struct linux_gpio *gpio, const struct gpiochip_info *info)
{
	for (size_t i = 0; i < RPMSG_GPIO_LABEL_SIZE && info->label[i]; i++)
		gpio->label[i] = info->label[i] >= ' ' && info->label[i] <= '~' ? info->label[i]
										: '?';
}

int linux_gpio_open(struct linux_gpio *gpio, int chip)
{
	struct gpiochip_info info = {0};
	int error = 0;

	memset(gpio, 0, sizeof(*gpio));
	gpio->chip = chip;
	gpio->epoll = -1;
	if (ioctl(chip, GPIO_GET_CHIPINFO_IOCTL, &info))
		return -errno;
	if (!info.lines || info.lines > UINT16_MAX)
		return -EINVAL;
	gpio->ngpio = (uint16_t)info.lines;
	read_label(gpio, &info);
	gpio->epoll = epoll_create1(EPOLL_CLOEXEC);
	gpio->lines = calloc(gpio->ngpio, sizeof(*gpio->lines));
	if (gpio->epoll < 0)
		error = -errno;
	else if (!gpio->lines)
		error = -ENOMEM;
	for (uint16_t i = 0; !error && i < gpio->ngpio; i++)
		gpio->lines[i].fd = -1;
	if (!error)
		error = read_names(gpio);
	if (error)
		linux_gpio_close(gpio);
	return error;
}

void linux_gpio_close(struct linux_gpio *gpio)
{
	for (uint16_t i = 0; gpio->lines && i < gpio->ngpio; i++)
		let_go(&gpio->lines[i]);
	if (gpio->epoll >= 0)
		close(gpio->epoll);
	free(gpio->lines);
	free(gpio->names);
	gpio->lines = NULL;
	gpio->names = NULL;
	gpio->epoll = -1;
}
