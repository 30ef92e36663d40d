/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A remote processor in QEMU whose RAM is this kernel's memory: remoteproc's own ELF
 * loader, resource table, core dump and virtio transport, as on a SoC.
 *
 *     rproc_mcu_mem=PA,SIZE            physical memory that is the firmware's
 *     virtio_uml.mcu=NAME:SOCKET       a processor that is off
 *     virtio_uml.mcu=NAME:SOCKET:on    one that a boot loader has started: detached
 *
 * Power is a connection to SOCKET (tests/kernel/remote_mcu.py). It begins with struct
 * mcu_power_on and the descriptor of this kernel's memory; what follows are the bytes of
 * firmware_stub/ports/rings/mailbox.h, both ways. Its end is a crash. Physical address 0
 * is MCU_DRAM to the processor. tools/build-uml-kernel includes this file at the end of
 * arch/um/drivers/virtio_uml.c.
 */
#include <linux/dma-map-ops.h>
#include <linux/elf.h>
#include <linux/memblock.h>
#include <linux/random.h>
#include <linux/remoteproc.h>
#include <as-layout.h>
#include <mem_user.h>

#include "../../../drivers/remoteproc/remoteproc_internal.h"

#define MCU_DRAM  0x80000000UL
#define MCU_QUEUE 0x10

struct mcu_power_on {
	u64 entry; /* 0: the boot loader's to find */
	u64 seed;
	u64 size;
};

struct mcu_rproc {
	struct rproc *rproc;
	struct work_struct work;
	unsigned long pending; /* notification ids */
	char *socket_path;
	int fd; /* -1: off */
	int irq;
	bool dead;
};

static unsigned long mcu_pa, mcu_size;

static int __init mcu_reserve(char *text)
{
	mcu_pa = memparse(text, &text);
	if (*text++ != ',')
		return -EINVAL;
	mcu_size = memparse(text, &text);
	return memblock_reserve(mcu_pa, mcu_size);
}
early_param("rproc_mcu_mem", mcu_reserve);

static void mcu_work(struct work_struct *work)
{
	struct mcu_rproc *self = container_of(work, struct mcu_rproc, work);
	int i;

	for (i = 0; i < 2; i++)
		if (test_and_clear_bit(i, &self->pending))
			rproc_vq_interrupt(self->rproc, i);
	if (self->dead)
		rproc_report_crash(self->rproc, RPROC_FATAL_ERROR);
}

static irqreturn_t mcu_interrupt(int irq, void *data)
{
	struct mcu_rproc *self = data;
	u8 bytes[32];
	int n, i;

	while ((n = os_read_file(self->fd, bytes, sizeof(bytes))) > 0)
		for (i = 0; i < n; i++)
			if ((bytes[i] & ~1) == MCU_QUEUE)
				set_bit(bytes[i] & 1, &self->pending);
	if (n != -EAGAIN)
		self->dead = true;
	schedule_work(&self->work);
	return IRQ_HANDLED;
}

static void mcu_power_off(struct mcu_rproc *self)
{
	if (self->fd < 0)
		return;
	if (self->irq >= 0)
		um_free_irq(self->irq, self);
	os_close_file(self->fd);
	self->fd = -1;
	cancel_work_sync(&self->work);
}

static int mcu_power_on(struct mcu_rproc *self, u64 entry)
{
	unsigned long long offset;
	int memory = phys_mapping(uml_reserved - uml_physmem, &offset);
	struct mcu_power_on message = {
		.entry = entry, .seed = get_random_u32() | 1, .size = physmem_size,
	};
	int ret;

	self->dead = false;
	self->pending = 0;
	self->irq = -1;
	self->fd = os_connect_socket(self->socket_path);
	if (self->fd < 0)
		return self->fd;
	ret = os_sendmsg_fds(self->fd, &message, sizeof(message), &memory, 1);
	if (ret >= 0)
		ret = ret == sizeof(message) ? os_set_fd_block(self->fd, 0) : -EIO;
	if (!ret)
		ret = um_request_irq(UM_IRQ_ALLOC, self->fd, IRQ_READ, mcu_interrupt, 0,
				     "rproc-mcu", self);
	if (ret >= 0) {
		self->irq = ret;
		return 0;
	}
	mcu_power_off(self);
	return ret;
}

static int mcu_prepare(struct rproc *rproc)
{
	struct rproc_mem_entry *mem;

	mem = rproc_mem_entry_init(&rproc->dev, __va(mcu_pa), mcu_pa, mcu_size,
				   MCU_DRAM + mcu_pa, NULL, NULL, "firmware");
	if (!mem)
		return -ENOMEM;
	rproc_add_carveout(rproc, mem);
	return 0;
}

static int mcu_parse_fw(struct rproc *rproc, const struct firmware *firmware)
{
	int ret = rproc_elf_load_rsc_table(rproc, firmware);

	return ret ?: rproc_coredump_add_segment(rproc, MCU_DRAM + mcu_pa, mcu_size);
}

/* The firmware's linker script puts it where the firmware's memory begins. */
static struct resource_table *mcu_loaded_table(struct rproc *rproc, size_t *size)
{
	*size = 1024;
	return __va(mcu_pa);
}

static int mcu_start(struct rproc *rproc)
{
	return mcu_power_on(rproc->priv, rproc->bootaddr);
}

static int mcu_stop(struct rproc *rproc)
{
	mcu_power_off(rproc->priv);
	return 0;
}

/* It runs, and goes on: it sees the virtio device come and go in the resource table. */
static int mcu_attach(struct rproc *rproc)
{
	struct mcu_rproc *self = rproc->priv;

	return self->fd < 0 || self->dead ? -ENODEV : 0;
}

static int mcu_detach(struct rproc *rproc)
{
	return 0;
}

/* Never blocks: what finds no room finds the firmware with unread kicks. */
static void mcu_kick(struct rproc *rproc, int id)
{
	struct mcu_rproc *self = rproc->priv;
	u8 byte = MCU_QUEUE | id;

	os_write_file(self->fd, &byte, 1);
}

/* Those of an ELF file are the default for who names none of them. */
static const struct rproc_ops mcu_ops = {
	.load = rproc_elf_load_segments,
	.find_loaded_rsc_table = rproc_elf_find_loaded_rsc_table,
	.sanity_check = rproc_elf_sanity_check,
	.get_boot_addr = rproc_elf_get_boot_addr,
	.parse_fw = mcu_parse_fw,
	.prepare = mcu_prepare,
	.get_loaded_rsc_table = mcu_loaded_table,
	.start = mcu_start,
	.stop = mcu_stop,
	.attach = mcu_attach,
	.detach = mcu_detach,
	.kick = mcu_kick,
};

static int mcu_add(const char *name, char *socket_path, bool on)
{
	struct platform_device *parent;
	struct mcu_rproc *self;
	struct rproc *rproc;
	int ret;

	parent = platform_device_register_simple("rproc-mcu", 0, NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	/* Addresses of vrings are the processor's, as on SoCs with a bus of their own. */
	ret = dma_direct_set_offset(&parent->dev, 0, MCU_DRAM, physmem_size);
	if (ret)
		goto unregister;
	rproc = rproc_alloc(&parent->dev, name, &mcu_ops, "mcu.elf", sizeof(*self));
	if (!rproc) {
		ret = -ENOMEM;
		goto unregister;
	}
	rproc->auto_boot = false;
	rproc_coredump_set_elf_info(rproc, ELFCLASS64, EM_RISCV);
	self = rproc->priv;
	self->rproc = rproc;
	self->socket_path = socket_path;
	self->fd = -1;
	INIT_WORK(&self->work, mcu_work);
	if (on) {
		ret = mcu_power_on(self, 0);
		if (ret)
			goto free;
		rproc->state = RPROC_DETACHED;
	}
	ret = rproc_add(rproc);
	if (!ret)
		return 0;
	mcu_power_off(self);
free:
	rproc_free(rproc);
unregister:
	platform_device_unregister(parent);
	return ret;
}

/* There is one, since there is one memory of its firmware; it lives as the kernel does. */
static int mcu_set(const char *argument, const struct kernel_param *kp)
{
	char *rest = kstrdup(argument, GFP_KERNEL), *name, *socket_path;
	int ret = -EINVAL;

	if (!rest)
		return -ENOMEM;
	name = strsep(&rest, ":");
	socket_path = strsep(&rest, ":");
	if (socket_path && mcu_size)
		ret = mcu_add(name, socket_path, rest && !strcmp(rest, "on"));
	if (ret)
		kfree(name);
	return ret;
}

static const struct kernel_param_ops mcu_param_ops = {
	.set = mcu_set,
};

device_param_cb(mcu, &mcu_param_ops, NULL, 0);
