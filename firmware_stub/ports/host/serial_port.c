/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "serial_port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define MILLION 1000000u
#define PTYS "/dev/pts/"
#define WIRE_SIZE 4096u
/* So many bytes a slow UART takes at a time, with its FIFO and a ring. */
#define UART_SIZE 64u

/* Bytes on their way; each is through one byte's time after the one before it. */
struct wire {
	uint8_t bytes[WIRE_SIZE];
	size_t head, count, limit;
	uint64_t due_ns;  /* of the first, when there is one */
	uint64_t free_ns; /* when the latest was through */
	uint64_t random;
};

enum kind { PTY, TTY, CHANNEL };

struct serial_port {
	struct loop *loop;
	struct rpmsg_gpio_serial serial;
	struct rpmsg_gpio_serial_config config;
	struct rpmsg_gpio_serial_ops ops;
	const struct rpmsg_gpio_serial_ops *user;
	void *user_context;
	char path[PATH_MAX];
	enum kind kind;
	bool plugged; /* with CHANNEL: a driver listens */
	int fd;       /* the pty's master, or the tty; -1 otherwise */
	int slave_fd; /* held open, so that a client that leaves is no hangup */
	int timer_fd;
	uint64_t timer_ns; /* what timer_fd is set to, 0: nothing */
	uint64_t byte_ns;
	uint32_t noise;
	bool stalled;
	struct wire in, out;
	const struct serial_filter *filter; /* NULL: none */
	serial_port_send_fn channel_send;
	uint8_t message[SERIAL_PORT_MESSAGE_MAX]; /* waits for a buffer of the channel */
	size_t message_length;
};

/* ---- the wire -------------------------------------------------------------- */

static uint64_t next_random(struct wire *wire)
{
	/* xorshift64*, Vigna 2016 */
	wire->random ^= wire->random >> 12;
	wire->random ^= wire->random << 25;
	wire->random ^= wire->random >> 27;
	return wire->random * UINT64_C(2685821657736338717);
}

static bool happens(struct wire *wire, uint32_t per_million)
{
	return per_million && (next_random(wire) >> 32) % MILLION < per_million;
}

static size_t wire_room(const struct wire *wire)
{
	return wire->limit - wire->count;
}

static void wire_put(struct wire *wire, const uint8_t *bytes, size_t length, uint64_t byte_ns)
{
	uint64_t now = gb_now_ns();

	if (!wire->count)
		wire->due_ns = (now > wire->free_ns ? now : wire->free_ns) + byte_ns;
	for (size_t i = 0; i < length; i++)
		wire->bytes[(wire->head + wire->count++) % WIRE_SIZE] = bytes[i];
}

/* Takes the bytes that are through and adds noise; `to` has room for twice the count. */
static size_t wire_take(struct wire *wire, uint8_t *to, size_t count, uint64_t now,
			uint64_t byte_ns, uint32_t noise)
{
	size_t taken = 0;

	while (count-- && wire->count && wire->due_ns <= now) {
		uint8_t byte = wire->bytes[wire->head];

		wire->head = (wire->head + 1) % WIRE_SIZE;
		wire->count--;
		wire->free_ns = wire->due_ns;
		wire->due_ns += byte_ns;
		if (happens(wire, noise))
			to[taken++] = (uint8_t)(next_random(wire) >> 32);
		if (happens(wire, noise))
			byte ^= (uint8_t)(1u << (next_random(wire) >> 32) % 8);
		if (!happens(wire, noise))
			to[taken++] = byte;
	}
	return taken;
}

/* When the next delimiter is through, or all bytes are: nobody can do anything with less. */
static uint64_t wire_due(const struct wire *wire, uint64_t byte_ns)
{
	size_t i = 0;

	while (i + 1 < wire->count && wire->bytes[(wire->head + i) % WIRE_SIZE])
		i++;
	return wire->count ? wire->due_ns + i * byte_ns : UINT64_MAX;
}

/* ---- the firmware's side ------------------------------------------------------ */

/* Writes byte by byte, as long as there is room for a frame that one of them may end. */
static size_t write_filtered(struct serial_port *port, const uint8_t *bytes, size_t length)
{
	uint8_t wire[SERIAL_FILTER_WIRE_MAX];
	size_t taken = 0;

	while (taken < length && wire_room(&port->out) >= sizeof(wire))
		wire_put(&port->out, wire,
			 port->filter->out(&port->serial, bytes[taken++], wire),
			 port->byte_ns);
	return taken;
}

static size_t uart_write(void *context, const uint8_t *bytes, size_t length)
{
	struct serial_port *port = context;
	size_t room = wire_room(&port->out);

	if (!port->plugged)
		return length; /* no cable */
	if (port->filter)
		return write_filtered(port, bytes, length);
	if (length > room)
		length = room;
	wire_put(&port->out, bytes, length, port->byte_ns);
	return length;
}

static bool user_received(void *context, uint8_t endpoint, uint8_t driver, const void *message,
			  size_t length)
{
	struct serial_port *port = context;

	return port->user->received(port->user_context, endpoint, driver, message, length);
}

static void user_session(void *context, bool open)
{
	struct serial_port *port = context;

	port->user->session(port->user_context, open);
}

bool serial_port_send(struct serial_port *port, uint8_t endpoint, uint8_t driver,
		      const void *message, size_t length)
{
	return rpmsg_gpio_serial_send(&port->serial, endpoint, driver, message, length);
}

bool serial_port_up(const struct serial_port *port)
{
	return rpmsg_gpio_serial_up(&port->serial);
}

void serial_port_restart(struct serial_port *port, uint32_t epoch)
{
	port->config.epoch = epoch;
	rpmsg_gpio_serial_init(&port->serial, &port->config);
}

void serial_port_quiet(struct serial_port *port, bool quiet)
{
	port->serial.announced = quiet ? port->config.channel_count : 0;
}

void serial_port_stall(struct serial_port *port, bool stalled)
{
	port->stalled = stalled;
}

void serial_port_noise(struct serial_port *port, uint32_t per_million, uint64_t seed)
{
	port->noise = per_million;
	/* The two streams differ, and neither of them is 0. */
	port->in.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	port->out.random = (seed + 2) * UINT64_C(0xbf58476d1ce4e5b9) | 1;
}

/* ---- bytes that are through ----------------------------------------------------- */

static uint32_t run_core(struct serial_port *port)
{
	uint32_t wait;

	do
		wait = rpmsg_gpio_serial_run(&port->serial, (uint32_t)(gb_now_ns() / 1000));
	while (port->filter && port->filter->run(&port->serial));
	return wait;
}

/* A frame that comes at once would overrun the core's ring, so the core runs in between. */
static void receive_filtered(struct serial_port *port, uint8_t byte)
{
	uint8_t wire[SERIAL_FILTER_WIRE_MAX];
	size_t length = port->filter->in(&port->serial, byte, wire);

	for (size_t i = 0; i < length; i++) {
		rpmsg_gpio_serial_rx(&port->serial, wire[i]);
		if (!wire[i] || i % 64 == 63)
			run_core(port);
	}
}

void serial_port_filter(struct serial_port *port, const struct serial_filter *filter)
{
	port->filter = filter;
	if (filter)
		port->out.limit = WIRE_SIZE; /* frames are held until they end */
}

static void deliver_in(struct serial_port *port, uint64_t now)
{
	uint8_t bytes[RPMSG_GPIO_SERIAL_RX_RING];
	size_t count;

	/* Takes at most a ring full at a time, so that nothing is lost here. */
	while ((count = wire_take(&port->in, bytes, sizeof(bytes) / 2, now, port->byte_ns,
				  port->noise)) ||
	       (port->in.count && port->in.due_ns <= now)) {
		for (size_t i = 0; i < count && !port->stalled; i++) {
			if (port->filter)
				receive_filtered(port, bytes[i]);
			else
				rpmsg_gpio_serial_rx(&port->serial, bytes[i]);
		}
		if (!port->stalled)
			run_core(port);
	}
}

/* A message for which there is no buffer waits; serial_port_run() is called when there is one. */
static void deliver_messages(struct serial_port *port, uint64_t now)
{
	do {
		if (!port->message_length)
			port->message_length =
				wire_take(&port->out, port->message, sizeof(port->message) / 2,
					  now, 0, port->noise);
		if (port->message_length &&
		    !port->channel_send(port->user_context, port->message,
					port->message_length))
			return;
		port->message_length = 0;
	} while (port->out.count && port->out.due_ns <= now);
}

/* What a pty that nobody reads cannot take is lost, as on a wire. */
static void deliver_bytes(struct serial_port *port, uint64_t now)
{
	uint8_t bytes[2 * WIRE_SIZE];
	size_t count = wire_take(&port->out, bytes, WIRE_SIZE, now, port->byte_ns, port->noise);

	if (count && port->fd >= 0 && write(port->fd, bytes, count) < 0 && errno != EAGAIN)
		fprintf(stderr, "firmware-stub: %s: %s\n", port->path, strerror(errno));
}

static void deliver_out(struct serial_port *port, uint64_t now)
{
	if (port->kind == CHANNEL)
		deliver_messages(port, now);
	else
		deliver_bytes(port, now);
}

static void set_timer(struct serial_port *port, uint64_t due)
{
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(due / NS_PER_S),
					       .tv_nsec = (long)(due % NS_PER_S)}};

	if (due == UINT64_MAX)
		spec.it_value = (struct timespec){0};
	if (port->timer_ns == due)
		return;
	port->timer_ns = due;
	timerfd_settime(port->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void serial_port_receive(struct serial_port *port)
{
	deliver_in(port, gb_now_ns());
}

void serial_port_run(struct serial_port *port)
{
	uint64_t due = UINT64_MAX, wire;
	uint32_t wait;
	size_t room;

	do {
		wait = port->stalled ? UINT32_MAX : run_core(port);
		room = wire_room(&port->out);
		deliver_out(port, gb_now_ns());
		/* The core stopped because the UART was full, and now it is not. */
	} while (port->serial.chunk_at < port->serial.chunk_end && !port->stalled &&
		 !port->message_length && wire_room(&port->out) > room);
	if (wait != UINT32_MAX)
		due = gb_now_ns() + (uint64_t)wait * 1000;
	wire = wire_due(&port->in, port->byte_ns);
	due = wire < due ? wire : due;
	/* A message that waits for a buffer does not wait for the time. */
	wire = port->message_length ? UINT64_MAX : wire_due(&port->out, port->byte_ns);
	set_timer(port, wire < due ? wire : due);
}

static void timer_ready(void *context, uint32_t events)
{
	struct serial_port *port = context;
	uint64_t count;

	(void)events;
	/* serial_port_run() follows: the loop's idle hook. */
	if (read(port->timer_fd, &count, sizeof(count)) < 0)
		return;
	port->timer_ns = 0;
}

static void unplug(struct serial_port *port);

static void port_ready(void *context, uint32_t events)
{
	struct serial_port *port = context;
	uint8_t bytes[WIRE_SIZE];
	ssize_t count = read(port->fd, bytes, sizeof(bytes));
	size_t room = wire_room(&port->in);

	if (count <= 0) {
		if (events & (EPOLLHUP | EPOLLERR)) {
			fprintf(stderr, "firmware-stub: %s: hung up\n", port->path);
			unplug(port);
		}
		return;
	}
	/* A driver that sends more than the wire carries overruns the UART. */
	wire_put(&port->in, bytes, (size_t)count < room ? (size_t)count : room, port->byte_ns);
}

/* ---- opening ------------------------------------------------------------------------ */

static bool make_raw(int fd)
{
	struct termios termios;

	if (tcgetattr(fd, &termios))
		return false;
	cfmakeraw(&termios);
	termios.c_cflag |= CREAD | CLOCAL;
	return !tcsetattr(fd, TCSANOW, &termios);
}

/* A link to a pty was left behind by an earlier stub; links of udev's lead to other ttys. */
static bool is_left_behind(const char *path)
{
	char target[sizeof(PTYS)];

	return readlink(path, target, sizeof(target)) == sizeof(target) &&
	       !memcmp(target, PTYS, strlen(PTYS));
}

static bool link_path(const char *target, const char *path)
{
	if (is_left_behind(path))
		unlink(path);
	return !symlink(target, path);
}

static bool open_pty(struct serial_port *port)
{
	char name[64];

	port->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (port->fd < 0 || grantpt(port->fd) || unlockpt(port->fd) ||
	    ptsname_r(port->fd, name, sizeof(name)))
		return false;
	port->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return port->slave_fd >= 0 && make_raw(port->slave_fd) && link_path(name, port->path);
}

static const struct { uint32_t baud; speed_t speed; } speeds[] = {
	{9600, B9600}, {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200},
	{230400, B230400}, {460800, B460800}, {921600, B921600}, {1000000, B1000000},
	{1500000, B1500000}, {2000000, B2000000}, {3000000, B3000000}, {4000000, B4000000},
};

static bool set_speed(int fd, uint32_t baud)
{
	struct termios termios;

	for (size_t i = 0; baud && i < sizeof(speeds) / sizeof(speeds[0]); i++) {
		if (speeds[i].baud == baud)
			return !tcgetattr(fd, &termios) && !cfsetspeed(&termios, speeds[i].speed) &&
			       !tcsetattr(fd, TCSANOW, &termios);
	}
	errno = EINVAL;
	return !baud;
}

static bool open_tty(struct serial_port *port, uint32_t baud)
{
	port->fd = open(port->path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	return port->fd >= 0 && make_raw(port->fd) && set_speed(port->fd, baud);
}

static void close_fd(int *fd)
{
	int error = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = error;
}

static void unplug(struct serial_port *port)
{
	if (port->fd >= 0)
		loop_remove(port->loop, port->fd);
	if (port->fd >= 0 && port->kind == PTY)
		unlink(port->path);
	close_fd(&port->slave_fd);
	close_fd(&port->fd);
	port->plugged = false;
	port->in.count = port->out.count = 0;
	port->message_length = 0;
}

static bool plug(struct serial_port *port, uint32_t baud)
{
	int error;

	if (!(port->kind == PTY ? open_pty(port) : open_tty(port, baud))) {
		close_fd(&port->slave_fd);
		close_fd(&port->fd);
		return false;
	}
	error = loop_add(port->loop, port->fd, EPOLLIN, port_ready, port);
	port->plugged = !error;
	errno = -error;
	return !error;
}

bool serial_port_plug(struct serial_port *port, bool plugged)
{
	if (!plugged)
		unplug(port);
	else if (port->kind == CHANNEL)
		port->plugged = true;
	return !plugged || port->plugged || plug(port, 0);
}

bool serial_port_take(struct serial_port *port, const void *bytes, size_t length)
{
	if (length > wire_room(&port->in))
		return false;
	wire_put(&port->in, bytes, length, 0);
	return true;
}

static bool is_tty(const char *path)
{
	struct stat status;

	return !is_left_behind(path) && !stat(path, &status) && S_ISCHR(status.st_mode);
}

static struct serial_port *new_port(struct loop *loop, enum kind kind,
				    const struct rpmsg_gpio_serial_config *config)
{
	struct serial_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->loop = loop;
	port->kind = kind;
	port->fd = port->slave_fd = port->timer_fd = -1;
	port->user = config->ops;
	port->user_context = config->context;
	port->ops = (struct rpmsg_gpio_serial_ops){
		.write = uart_write, .received = user_received, .session = user_session};
	port->config = *config;
	port->config.ops = &port->ops;
	port->config.context = port;
	port->in.limit = port->out.limit = WIRE_SIZE;
	rpmsg_gpio_serial_init(&port->serial, &port->config);
	return port;
}

static bool start_timer(struct serial_port *port)
{
	int error;

	port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (port->timer_fd < 0)
		return false;
	error = loop_add(port->loop, port->timer_fd, EPOLLIN, timer_ready, port);
	errno = -error;
	return !error;
}

static struct serial_port *cannot_open(struct serial_port *port, const char *name, char *why,
				       size_t why_size)
{
	snprintf(why, why_size, "cannot open the serial port %s: %s", name,
		 port ? strerror(errno) : "no memory");
	serial_port_close(port);
	return NULL;
}

struct serial_port *serial_port_open(struct loop *loop, const char *path, uint32_t baud,
				     const struct rpmsg_gpio_serial_config *config, char *why,
				     size_t why_size)
{
	struct serial_port *port = new_port(loop, is_tty(path) ? TTY : PTY, config);
	char name[PATH_MAX + 32];

	snprintf(name, sizeof(name), "%s%s", path, baud ? " at this rate" : "");
	if (!port)
		return cannot_open(port, name, why, why_size);
	snprintf(port->path, sizeof(port->path), "%s", path);
	if (port->kind == PTY && baud) {
		port->byte_ns = 10 * NS_PER_S / baud;
		port->out.limit = UART_SIZE;
	}
	if (!start_timer(port) || !plug(port, baud))
		return cannot_open(port, name, why, why_size);
	return port;
}

struct serial_port *serial_port_open_channel(struct loop *loop, serial_port_send_fn send,
					     const struct rpmsg_gpio_serial_config *config,
					     char *why, size_t why_size)
{
	struct serial_port *port = new_port(loop, CHANNEL, config);

	if (port)
		port->channel_send = send;
	if (!port || !start_timer(port))
		return cannot_open(port, "in a channel", why, why_size);
	return port;
}

void serial_port_close(struct serial_port *port)
{
	if (!port)
		return;
	if (port->plugged && port->timer_fd >= 0) {
		rpmsg_gpio_serial_close(&port->serial);
		port->byte_ns = 0; /* no time to wait for the wire */
		port->out.due_ns = 0;
		serial_port_run(port);
	}
	unplug(port);
	if (port->timer_fd >= 0)
		loop_remove(port->loop, port->timer_fd);
	close_fd(&port->timer_fd);
	free(port);
}
