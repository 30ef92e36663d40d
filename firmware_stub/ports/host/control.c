/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio/listening_socket.h"

#define BACKLOG 16
#define CLIENTS_MAX 64
#define WHY_MAX 256
#define NS_PER_S UINT64_C(1000000000)
#define CLIENT_GONE (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

struct client {
	struct control *control;
	struct client *next;
	int fd;
	struct wait wait;     /* kind is WAIT_NOTHING when none */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: real even when the board is stepped */
};

struct control {
	struct loop *loop;
	struct commands *commands;
	struct client *clients;
	unsigned int client_count;
	int listener;
	int timer_fd; /* the earliest deadline of a wait */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* empty: not bound */
	char packet[COMMAND_LENGTH_MAX + 1];
	char reply[COMMAND_REPLY_MAX];
};

/* ---- clients ----------------------------------------------------------------- */

static void drop_client(struct client *client)
{
	struct control *control = client->control;
	struct client **link = &control->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	control->client_count--;
	loop_remove(control->loop, client->fd);
	close(client->fd);
	free(client);
}

/* A client that does not read its replies must not stop the board. */
static bool send_reply(struct client *client, const char *text)
{
	size_t length = strlen(text);

	if (send(client->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length)
		return true;
	if (errno == EAGAIN)
		fprintf(stderr,
			"firmware-stub: control client dropped: it does not read its replies\n");
	drop_client(client);
	return false;
}

static bool send_error(struct client *client, int error, const char *sentence)
{
	char text[1024];

	snprintf(text, sizeof(text), "error %d %s", error, sentence);
	return send_reply(client, text);
}

static void client_ready(void *context, uint32_t events);

/* While a client waits, its next commands stay in the socket. */
static bool watch_client(struct client *client, uint32_t events)
{
	loop_remove(client->control->loop, client->fd);
	if (!loop_add(client->control->loop, client->fd, events, client_ready, client))
		return true;
	drop_client(client);
	return false;
}

static void set_deadline(struct control *control)
{
	uint64_t earliest = 0;
	struct itimerspec when = {0};

	for (const struct client *client = control->clients; client; client = client->next)
		if (client->wait.kind && (!earliest || client->deadline_ns < earliest))
			earliest = client->deadline_ns;
	when.it_value.tv_sec = (time_t)(earliest / NS_PER_S);
	when.it_value.tv_nsec = (long)(earliest % NS_PER_S);
	timerfd_settime(control->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void begin_wait(struct client *client, const struct wait *wait)
{
	client->wait = *wait;
	client->deadline_ns = gb_now_ns() + wait->timeout_ns;
	if (watch_client(client, EPOLLRDHUP))
		set_deadline(client->control);
}

static void execute(struct client *client, size_t length)
{
	struct control *control = client->control;
	struct command command = {
		.reply = control->reply + 3, /* behind "ok " */
		.reply_size = sizeof(control->reply) - 3,
	};
	int error;

	if (length > COMMAND_LENGTH_MAX) {
		send_error(client, EMSGSIZE, "the command is longer than 4095 bytes; shorten it");
		return;
	}
	if (memchr(control->packet, '\0', length)) {
		send_error(client, EINVAL, "a NUL byte in the command; send text without it");
		return;
	}
	control->packet[length] = '\0';
	error = commands_execute(control->commands, control->packet, &command);
	if (error) {
		send_error(client, -error, command.reply);
	} else if (command.wait.kind && !wait_over(control->commands, &command.wait)) {
		begin_wait(client, &command.wait);
	} else {
		memcpy(control->reply, command.reply[0] ? "ok " : "ok", 3);
		send_reply(client, control->reply);
	}
}

/* Handles one packet a call: the loop comes back for the next one. */
static void client_ready(void *context, uint32_t events)
{
	struct client *client = context;
	struct control *control = client->control;
	ssize_t length;

	if (!(events & EPOLLIN)) {
		drop_client(client);
		return;
	}
	length = recv(client->fd, control->packet, sizeof(control->packet),
		      MSG_DONTWAIT | MSG_TRUNC);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An empty packet looks like the end of the connection, but the peer is still there. */
	if (length < 0 || (!length && events & CLIENT_GONE))
		drop_client(client);
	else
		execute(client, (size_t)length);
}

static void add_client(struct control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	*client = (struct client){.control = control, .next = control->clients, .fd = fd};
	control->clients = client;
	control->client_count++;
	watch_client(client, EPOLLIN | EPOLLRDHUP);
}

static void listener_ready(void *context, uint32_t events)
{
	static const char busy[] = "error 11 too many control clients; close one";
	struct control *control = context;
	int fd = loop_accept(control->loop, control->listener);

	(void)events;
	if (fd < 0)
		return;
	if (control->client_count < CLIENTS_MAX) {
		add_client(control, fd);
		return;
	}
	send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* ---- waits ------------------------------------------------------------------- */

static void end_wait(struct client *client, bool over)
{
	struct control *control = client->control;

	client->wait.kind = WAIT_NOTHING;
	if (!watch_client(client, EPOLLIN | EPOLLRDHUP))
		return;
	if (over)
		send_reply(client, "ok");
	else
		send_error(client, ETIMEDOUT, "the board did not become so within the timeout");
	set_deadline(control);
}

static void look_at_waits(struct control *control, uint64_t now)
{
	for (struct client *client = control->clients, *next; client; client = next) {
		next = client->next;
		if (!client->wait.kind)
			continue;
		bool over = wait_over(control->commands, &client->wait);

		if (over || (now && client->deadline_ns <= now))
			end_wait(client, over);
	}
}

void control_run(struct control *control)
{
	look_at_waits(control, 0);
}

static void deadline_passed(void *context, uint32_t events)
{
	struct control *control = context;
	uint64_t expirations;

	(void)events;
	if (read(control->timer_fd, &expirations, sizeof(expirations)) > 0)
		look_at_waits(control, gb_now_ns());
}

/* ---- open and close ------------------------------------------------------------ */

/* Returns 0, or -errno, with a sentence in why[] where there is more to say than the errno. */
static int start(struct control *control, const char *path, char *why, size_t why_size)
{
	int error;

	control->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (control->timer_fd < 0)
		return -errno;
	error = loop_add(control->loop, control->timer_fd, EPOLLIN, deadline_passed, control);
	if (error)
		return error;
	control->listener = listening_socket(path, SOCK_SEQPACKET, BACKLOG, -1, why, why_size);
	if (control->listener < 0)
		return control->listener;
	strcpy(control->path, path); /* it fits: listening_socket() checked */
	return loop_add(control->loop, control->listener, EPOLLIN, listener_ready, control);
}

struct control *control_open(struct loop *loop, struct commands *commands, const char *path,
			     char *why, size_t why_size)
{
	struct control *control = calloc(1, sizeof(*control));
	char reason[WHY_MAX] = "";
	int error = -ENOMEM;

	if (control) {
		*control = (struct control){.loop = loop, .commands = commands,
					    .timer_fd = -1, .listener = -1};
		error = start(control, path, reason, sizeof(reason));
	}
	if (!error)
		return control;
	snprintf(why, why_size, "control socket: %s; give a path that is free and writable",
		 reason[0] ? reason : strerror(-error));
	control_close(control);
	return NULL;
}

static void close_watched(struct loop *loop, int fd)
{
	if (fd < 0)
		return;
	loop_remove(loop, fd);
	close(fd);
}

void control_close(struct control *control)
{
	if (!control)
		return;
	while (control->clients)
		drop_client(control->clients);
	close_watched(control->loop, control->listener);
	close_watched(control->loop, control->timer_fd);
	if (control->path[0])
		unlink(control->path);
	free(control);
}
