/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's end of an operation descriptor, and a service that does not do its part. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "pump/client.h"

#define TIMEOUT_MS 200
#define LONG_MS 10000 /* only a fault lasts so long */

struct pair {
	int client, service;
};

static void open_pair(struct pair *p)
{
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	p->client = ends[0];
	p->service = ends[1];
	CHECK_EQ(gb_client_prepare(p->client, TIMEOUT_MS), 0);
}

static void close_pair(struct pair *p)
{
	close(p->client);
	close(p->service);
}

static void sleep_ms(long ms)
{
	struct timespec time = {.tv_nsec = ms * 1000000};

	nanosleep(&time, NULL);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The error of one operation, which ends in time. */
static int get(struct pair *p, uint32_t sequence, struct gb_operation_reply *reply)
{
	struct gb_operation operation = {.code = GB_OPERATION_GET, .sequence = sequence, .mask = 1};
	int64_t start = now_ms();
	int error = gb_client_operate(p->client, TIMEOUT_MS, &operation, reply);

	CHECK(now_ms() - start < LONG_MS);
	CHECK_EQ(reply->error, error);
	return error;
}

static void a_service_that_does_not_read_ends_at_the_deadline(void)
{
	struct gb_operation operation = {.code = GB_OPERATION_GET};
	struct gb_operation_reply reply;
	struct pair p;

	open_pair(&p);
	while (send(p.client, &operation, sizeof(operation), MSG_DONTWAIT) > 0)
		continue;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(get(&p, 1, &reply), ETIMEDOUT);
	close_pair(&p);
}

/* Answers what was given up long ago, again and again, while an answer is waited for. */
static void *answer_late(void *argument)
{
	struct gb_operation_reply stale = {.sequence = 6};
	const struct pair *p = argument;
	int64_t start = now_ms();

	while (now_ms() - start < LONG_MS &&
	       send(p->service, &stale, sizeof(stale), MSG_DONTWAIT | MSG_NOSIGNAL) != -1)
		sleep_ms(TIMEOUT_MS / 4);
	return NULL;
}

static void a_stale_reply_gives_no_more_time(void)
{
	struct gb_operation_reply reply;
	pthread_t thread;
	struct pair p;

	open_pair(&p);
	CHECK_EQ(pthread_create(&thread, NULL, answer_late, &p), 0);
	CHECK_EQ(get(&p, 7, &reply), ETIMEDOUT);
	shutdown(p.client, SHUT_RDWR);
	pthread_join(thread, NULL);
	close_pair(&p);
}

static void a_stale_reply_is_no_answer(void)
{
	struct gb_operation_reply stale = {.sequence = 6, .bits = 1}, right = {.sequence = 7};
	struct gb_operation_reply reply;
	struct pair p;

	open_pair(&p);
	CHECK_EQ(send(p.service, &stale, sizeof(stale), 0), sizeof(stale));
	CHECK_EQ(send(p.service, "short", 5, 0), 5);
	CHECK_EQ(send(p.service, &right, sizeof(right), 0), sizeof(right));
	CHECK_EQ(get(&p, 7, &reply), 0);
	CHECK_EQ(reply.bits, 0);
	close_pair(&p);
}

static void a_service_that_is_gone_is_enodev(void)
{
	struct gb_operation_reply reply;
	struct pair p;

	open_pair(&p);
	shutdown(p.service, SHUT_RDWR);
	CHECK_EQ(get(&p, 1, &reply), ENODEV);
	close_pair(&p);
}

int main(void)
{
	RUN(a_service_that_does_not_read_ends_at_the_deadline);
	RUN(a_stale_reply_gives_no_more_time);
	RUN(a_stale_reply_is_no_answer);
	RUN(a_service_that_is_gone_is_enodev);
	return check_report();
}
