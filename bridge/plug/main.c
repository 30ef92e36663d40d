/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - plugs a USB device that a service plays into this kernel, and pulls it out when the
 * service does not play any more. Runs as root, and does nothing else: the service stays without
 * privileges.
 *
 *     gpio-bridge-plug LISTENING_FD UID PATIENCE_MS EXIT_IDLE_S
 *
 * A client of the user UID, or root, connects (SOCK_SEQPACKET) and sends one message with both
 * ends of a stream socket pair: first the kernel's, then the device's. The kernel's end goes to
 * vhci_hcd, and a struct plug_reply comes back. From then on the device is plugged in for as long
 * as the connection lasts. While the kernel asks for something the client says that it is alive
 * (bridge/shim/usb/liveness.h). One that does not read, or does not say so, for PATIENCE_MS is
 * cut off: a task of the kernel that waits for a USB device cannot be killed. The messages that
 * it did not read are answered here, so that these tasks do not wait for their own timeout.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define VHCI        "/sys/devices/platform/vhci_hcd.0/"
#define HIGH_SPEED  3
#define PORT_FREE   4 /* VDEV_ST_NULL */

#define HERE 'h' /* as in liveness.h */
#define REST 'r'

/* A clock that ran on for so long while we did not: the client could not run either. */
#define STALLED_MS 20
#define GRACE_MS   50

struct plug_reply {
	int32_t error; /* errno */
	int32_t port;  /* of vhci_hcd */
	char why[120];
};

struct client {
	int connection; /* -1: none */
	int kernel, device; /* the ends; -1: not yet */
	int port;
	bool watched; /* until due_ms */
	bool graced;
	int64_t due_ms;
};

static struct client clients[CLIENTS_MAX];
static int patience_ms;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The kernel hangs up on a device whose connection is shut down. */
static void forget(struct client *client)
{
	if (client->kernel >= 0)
		shutdown(client->kernel, SHUT_RDWR);
	close_fd(&client->kernel);
	close_fd(&client->device);
	close_fd(&client->connection);
	client->watched = client->graced = false;
}

/* ---- vhci_hcd -------------------------------------------------------------------------- */

/* The first free port of the status file for high speed; -1: none. */
static int free_port_of(FILE *status)
{
	char row[128], hub[8];
	unsigned int port, state;

	while (fgets(row, sizeof(row), status))
		if (sscanf(row, "%7s %u %u", hub, &port, &state) == 3 && !strcmp(hub, "hs") &&
		    state == PORT_FREE)
			return (int)port;
	return -1;
}

/* Of all host controllers: status, status.1 and so on. -errno. */
static int free_port(void)
{
	char path[sizeof(VHCI) + 32] = VHCI "status";
	int port = -1;

	for (int i = 1; port < 0; i++) {
		FILE *status = fopen(path, "re");

		if (!status)
			return i == 1 ? -errno : -ENOSPC;
		port = free_port_of(status);
		fclose(status);
		snprintf(path, sizeof(path), VHCI "status.%d", i);
	}
	return port;
}

/* Returns the port, or -errno. */
static int attach(int fd)
{
	char text[64];
	int port = free_port();
	int file = port < 0 ? -1 : open(VHCI "attach", O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof(text), "%d %d %d %d", port, fd, 0x10001 + port,
			      HIGH_SPEED);
	int error = 0;

	if (port < 0)
		return port;
	if (file < 0 || write(file, text, (size_t)length) != length)
		error = -errno;
	close_fd(&file);
	return error ? error : port;
}

/* ---- a client's message ------------------------------------------------------------------ */

static bool is_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM;
}

/* The two descriptors of a message, in fds. False: it is none; whatever came is closed. */
static bool receive_ends(int connection, int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
	size_t count = 0;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < count && i < 2; i++)
		memcpy(&fds[i], CMSG_DATA(head) + i * sizeof(int), sizeof(int));
	if (got > 0 && count == 2 && is_stream(fds[0]) && is_stream(fds[1]))
		return true;
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	return false;
}

static void __attribute__((format(printf, 3, 4)))
reply(const struct client *client, int error, const char *format, ...)
{
	struct plug_reply text = {.error = error, .port = client->port};
	va_list args;

	va_start(args, format);
	vsnprintf(text.why, sizeof(text.why), format, args);
	va_end(args);
	if (send(client->connection, &text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* it will show when it is read from */
}

static void plug(struct client *client)
{
	int fds[2] = {-1, -1};
	int port;

	if (!receive_ends(client->connection, fds)) {
		reply(client, EINVAL, "expected both ends of a stream socket pair");
		forget(client);
		return;
	}
	client->kernel = fds[0];
	client->device = fds[1];
	port = attach(client->kernel);
	client->port = port;
	if (port >= 0) {
		reply(client, 0, "%s", "");
		return;
	}
	if (port == -ENOENT)
		reply(client, ENODEV, "this kernel has no vhci_hcd (CONFIG_USBIP_VHCI_HCD); "
		      "modprobe vhci-hcd");
	else if (port == -ENOSPC)
		reply(client, ENOSPC, "all ports of vhci_hcd are in use");
	else
		reply(client, -port, VHCI "attach: %s", strerror(-port));
	forget(client);
}

/* ---- a client's life ---------------------------------------------------------------------- */

static void watch(struct client *client)
{
	client->watched = true;
	client->graced = false;
	client->due_ms = now_ms() + patience_ms;
}

static void hear(struct client *client)
{
	char byte;
	ssize_t got = recv(client->connection, &byte, 1, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got == 1 && byte == HERE)
		watch(client);
	else if (got == 1 && byte == REST)
		client->watched = false;
	else
		forget(client); /* the client left, or is not a service of ours */
}

/* Fill the buffer from what the kernel has sent. */
static bool take(int fd, void *buffer, size_t size)
{
	return recv(fd, buffer, size, MSG_DONTWAIT | MSG_WAITALL) == (ssize_t)size;
}

/* Ends with ENODEV what the kernel asked and nobody read (USB/IP: 48 bytes, big-endian). */
static void answer_for(const struct client *client)
{
	uint32_t packet[12], answer[12];
	char bytes[4096];

	while (take(client->device, packet, sizeof(packet)) && packet[0] == htobe32(1)) {
		uint32_t length = packet[3] ? 0 : be32toh(packet[6]);

		if (length > sizeof(bytes) || (length && !take(client->device, bytes, length)))
			return;
		memset(answer, 0, sizeof(answer));
		answer[0] = htobe32(3);
		answer[1] = packet[1];
		answer[5] = htobe32((uint32_t)-ENODEV);
		if (send(client->device, answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return;
	}
}

static bool has_unread(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, 0) == 1;
}

static void patience_is_over(struct client *client, int64_t now)
{
	/* The service may have spoken meanwhile, or may be silent because it could not run. */
	if (has_unread(client->connection))
		return;
	if (!client->graced && now - client->due_ms > STALLED_MS) {
		client->graced = true;
		client->due_ms = now + GRACE_MS;
		return;
	}
	fprintf(stderr, "port %d: the service was silent for %d ms; its device is pulled out\n",
		client->port, patience_ms);
	answer_for(client);
	forget(client);
}

static void look(struct client *client, int64_t now, bool said, bool unread)
{
	if (said)
		client->kernel < 0 ? plug(client) : hear(client);
	else if (client->kernel >= 0 && !client->watched && unread)
		watch(client); /* a service that reads it tells us so */
	else if (client->watched && client->due_ms <= now)
		patience_is_over(client, now);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void welcome(int listener, uid_t user)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	struct client *client = NULL;

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS_MAX && !client; i++)
		if (clients[i].connection < 0)
			client = &clients[i];
	if (client && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	    (peer.uid == user || peer.uid == 0)) {
		client->connection = fd;
		return;
	}
	fprintf(stderr, "a client of user %u is refused\n", (unsigned int)peer.uid);
	close(fd);
}

/* The next deadline as poll(2) wants it; -1: none. */
static int next_due(int64_t now, bool idle, int exit_idle_s)
{
	int64_t due = idle && exit_idle_s ? now + exit_idle_s * 1000 : INT64_MAX;

	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].watched && clients[i].due_ms < due)
			due = clients[i].due_ms;
	if (due == INT64_MAX)
		return -1;
	return due <= now ? 0 : (int)(due - now);
}

/* Wait once; false: nobody is there any more. */
static bool turn(int listener, uid_t user, int exit_idle_s)
{
	struct pollfd pollers[1 + 2 * CLIENTS_MAX] = {{.fd = listener, .events = POLLIN}};
	bool idle = true;
	int count;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		const struct client *client = &clients[i];

		pollers[1 + 2 * i] = (struct pollfd){.fd = client->connection, .events = POLLIN};
		/* While it is watched, each message of the kernel would wake us for nothing. */
		pollers[2 + 2 * i] = (struct pollfd){.fd = client->watched ? -1 : client->device,
						     .events = POLLIN};
		idle &= client->connection < 0;
	}
	count = poll(pollers, 1 + 2 * CLIENTS_MAX, next_due(now_ms(), idle, exit_idle_s));
	if (count == 0 && idle && exit_idle_s)
		return false;
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].connection >= 0)
			look(&clients[i], now_ms(), pollers[1 + 2 * i].revents,
			     pollers[2 + 2 * i].revents);
	if (pollers[0].revents)
		welcome(listener, user);
	return true;
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 5) {
		fprintf(stderr, "usage: %s LISTENING_FD UID PATIENCE_MS EXIT_IDLE_S "
			"(gpio-bridge plug starts it)\n", argv[0]);
		return 2;
	}
	listener = atoi(argv[1]);
	patience_ms = atoi(argv[3]);
	fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i].connection = clients[i].kernel = clients[i].device = -1;
	while (turn(listener, (uid_t)strtoul(argv[2], NULL, 10), atoi(argv[4])))
		continue;
	return 0;
}
