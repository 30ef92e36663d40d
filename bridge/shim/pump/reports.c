/* SPDX-License-Identifier: BSD-3-Clause */
#include "reports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int gb_reports_init(struct gb_reports *reports)
{
	reports->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return reports->fd < 0 ? -errno : 0;
}

void gb_reports_free(struct gb_reports *reports)
{
	while (reports->first) {
		struct gb_report_node *node = reports->first;

		reports->first = node->next;
		free(node);
	}
	if (reports->fd >= 0)
		close(reports->fd);
}

static void ring(const struct gb_reports *reports)
{
	uint64_t one = 1;

	/* This fails only when the counter is full, and the descriptor is readable then anyway. */
	if (write(reports->fd, &one, sizeof(one)) < 0)
		return;
}

struct gb_report *gb_reports_add(struct gb_reports *reports, uint32_t kind, uint64_t id,
				 uint32_t *unread)
{
	struct gb_report_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->report.kind = kind;
	node->report.id = id;
	node->unread = unread;
	if (unread)
		++*unread;
	if (reports->last)
		reports->last->next = node;
	else
		reports->first = node;
	reports->last = node;
	/* Python may run at once, but must wait for the lock, so the caller has time to fill the
	 * report in. */
	if (reports->first == node)
		ring(reports);
	return &node->report;
}

void gb_reports_forget(struct gb_reports *reports, const uint32_t *unread)
{
	for (struct gb_report_node *node = reports->first; node; node = node->next)
		if (node->unread == unread)
			node->unread = NULL;
}

struct gb_report_node *gb_reports_take(struct gb_reports *reports)
{
	struct gb_report_node *node = reports->first;
	uint64_t count;

	if (!node) {
		/* Non-blocking: clears the descriptor if it was set. */
		if (read(reports->fd, &count, sizeof(count)) < 0)
			return NULL;
		return NULL;
	}
	reports->first = node->next;
	if (!node->next)
		reports->last = NULL;
	if (node->unread)
		--*node->unread;
	return node;
}

void gb_report_text(struct gb_report *report, const char *text)
{
	size_t length = strlen(text);

	if (length > GB_REPORT_BODY_MAX)
		length = GB_REPORT_BODY_MAX;
	memcpy(report->body, text, length);
	report->length = (uint16_t)length;
}
