/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names.h - read before each source of a fuzz target: what it asks of the kernel is
 * asked of kernel.c instead. The fuzzer's own calls stay as they are.
 */
#ifndef FUZZ_NAMES_H
#define FUZZ_NAMES_H

#pragma redefine_extname accept4 kernel_accept4
#pragma redefine_extname bind kernel_bind
#pragma redefine_extname clock_gettime kernel_clock_gettime
#pragma redefine_extname close kernel_close
#pragma redefine_extname connect kernel_connect
#pragma redefine_extname epoll_create1 kernel_epoll_create1
#pragma redefine_extname epoll_ctl kernel_epoll_ctl
#pragma redefine_extname epoll_wait kernel_epoll_wait
#pragma redefine_extname eventfd kernel_eventfd
#pragma redefine_extname fcntl kernel_fcntl
#pragma redefine_extname fprintf kernel_fprintf
#pragma redefine_extname fstat kernel_fstat
#pragma redefine_extname ftruncate kernel_ftruncate
#pragma redefine_extname getrandom kernel_getrandom
#pragma redefine_extname getsockopt kernel_getsockopt
#pragma redefine_extname ioctl kernel_ioctl
#pragma redefine_extname isatty kernel_isatty
#pragma redefine_extname listen kernel_listen
#pragma redefine_extname lstat kernel_stat
#pragma redefine_extname memfd_create kernel_memfd_create
#pragma redefine_extname mmap kernel_mmap
#pragma redefine_extname munmap kernel_munmap
#pragma redefine_extname poll kernel_poll
#pragma redefine_extname pthread_create kernel_pthread_create
#pragma redefine_extname pthread_join kernel_pthread_join
#pragma redefine_extname read kernel_read
#pragma redefine_extname readlink kernel_readlink
#pragma redefine_extname recv kernel_recv
#pragma redefine_extname recvmsg kernel_recvmsg
#pragma redefine_extname send kernel_send
#pragma redefine_extname sendmsg kernel_sendmsg
#pragma redefine_extname setsockopt kernel_setsockopt
#pragma redefine_extname sigaction kernel_sigaction
#pragma redefine_extname signal kernel_signal_set
#pragma redefine_extname socket kernel_socket
#pragma redefine_extname socketpair kernel_socketpair
#pragma redefine_extname stat kernel_stat
#pragma redefine_extname syscall kernel_syscall
#pragma redefine_extname tcflush kernel_tcflush
#pragma redefine_extname timerfd_create kernel_timerfd_create
#pragma redefine_extname timerfd_settime kernel_timerfd_settime
#pragma redefine_extname unlink kernel_unlink
#pragma redefine_extname vmsplice kernel_vmsplice
#pragma redefine_extname write kernel_write

#endif
