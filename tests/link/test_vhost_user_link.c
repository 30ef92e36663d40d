/* SPDX-License-Identifier: BSD-3-Clause */
/* A firmware side that is up, and then wants the service to hang. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>

#include "../shim/core_link.h"
#include "pump/vhost_user_link.h"
#include "virtio/vhost_user_session.h"

/* What hangs is killed then: no test takes so long. */
#define HANG_S 20u

/* ---- the firmware side ---------------------------------------------------------- */

static int watch(void *context, int fd)
{
	(void)context;
	(void)fd;
	return 0;
}

static void ignore_fd(void *context, int fd)
{
	(void)context;
	(void)fd;
}

static void ignore(void *context)
{
	(void)context;
}

static void ignore_why(void *context, const char *why)
{
	(void)context;
	(void)why;
}

static const struct vhost_user_session_ops ops = {
	.features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) | VHOST_USER_BIT(0) |
		    VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES),
	.protocol_features = VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) |
			     VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK),
	.watch_kick = watch,
	.unwatch_kick = ignore_fd,
	.applied = ignore,
	.refused = ignore_why,
};

struct firmware {
	struct vhost_user_session session;
	int listener;
	pthread_t thread;
};

/* The handshake, to its end. */
static void *serve(void *argument)
{
	struct firmware *firmware = argument;
	struct pollfd poller = {.fd = firmware->listener, .events = POLLIN};

	CHECK_EQ(poll(&poller, 1, LONG_MS), 1); /* the listener does not block */
	vhost_user_session_init(&firmware->session, &ops, firmware);
	vhost_user_session_start(&firmware->session,
				 accept4(firmware->listener, NULL, NULL, SOCK_CLOEXEC));
	poller.fd = firmware->session.socket;
	while (!vhost_user_session_running(&firmware->session) && poll(&poller, 1, LONG_MS) == 1)
		if (vhost_user_session_receive(&firmware->session) < 0)
			break;
	CHECK(vhost_user_session_running(&firmware->session));
	return NULL;
}

static struct gb_link *connect_to(struct firmware *firmware)
{
	char path[80], why[200] = "";
	struct gb_link *link;

	snprintf(path, sizeof(path), "/tmp/test-vhost-user-link-%d", getpid());
	firmware->listener = vhost_user_listen(path, -1, why, sizeof(why));
	CHECK(firmware->listener >= 0);
	pthread_create(&firmware->thread, NULL, serve, firmware);
	link = gb_vhost_user_connect(path, LONG_MS, why, sizeof(why));
	if (!link)
		printf("  %s\n", why);
	pthread_join(firmware->thread, NULL);
	unlink(path);
	return link;
}

static void end_firmware(struct firmware *firmware)
{
	vhost_user_session_end(&firmware->session);
	close(firmware->listener);
}

/* The file description is the service's, too. */
static void fill_kicks(struct firmware *firmware)
{
	uint64_t most = UINT64_MAX - 1, count;

	for (int i = 0; i < VHOST_USER_RINGS; i++) {
		int fd = firmware->session.rings[i].kick;

		CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		if (read(fd, &count, sizeof(count)) < 0)
			count = 0;
		CHECK_EQ(write(fd, &most, sizeof(most)), sizeof(most));
		CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
	}
}

/* ---- tests ------------------------------------------------------------------------- */

static void a_kick_that_is_full_keeps_nobody_waiting(void)
{
	struct firmware firmware;
	struct session s = {.pump = gb_pump_new()};
	struct gb_link *link = connect_to(&firmware);

	CHECK(link != NULL);
	alarm(HANG_S);
	fill_kicks(&firmware);
	CHECK_EQ(gb_pump_add_link(s.pump, link, 1), 0);
	s.controller = gb_controller_open(link, 2, SOURCE, ADDRESS);
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	gb_pump_free(s.pump);
	alarm(0);
	end_firmware(&firmware);
}

int main(void)
{
	RUN(a_kick_that_is_full_keeps_nobody_waiting);
	return check_report();
}
