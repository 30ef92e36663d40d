// SPDX-License-Identifier: BSD-3-Clause

// A Go program of the uAPI v2 on the chip of its argument: lines 2 and 3 are wired.
package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

type values struct{ bits, mask uint64 }

type attribute struct {
	id, padding uint32
	value, mask uint64
}

type request struct {
	offsets  [64]uint32
	consumer [32]byte
	flags    uint64
	attrs    uint32
	padding  [5]uint32
	config   [10]attribute
	lines    uint32
	buffer   uint32
	padding2 [5]uint32
	fd       int32
}

func ioctl(fd uintptr, command uintptr, argument unsafe.Pointer) {
	if _, _, number := syscall.Syscall(syscall.SYS_IOCTL, fd, command, uintptr(argument)); number != 0 {
		fmt.Println("ioctl", command, number)
		os.Exit(1)
	}
}

func line(chip *os.File, offset uint32, flags uint64) uintptr {
	asked := request{lines: 1, flags: flags}
	asked.offsets[0] = offset
	copy(asked.consumer[:], "gopher")
	ioctl(chip.Fd(), 0xC250B407, unsafe.Pointer(&asked))
	return uintptr(asked.fd)
}

func main() {
	chip, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	output, input := line(chip, 2, 8), line(chip, 3, 4|16|32)
	for bit := uint64(1); bit < 2; bit-- {
		ioctl(output, 0xC010B40F, unsafe.Pointer(&values{bit, 1}))
		got := values{0, 1}
		ioctl(input, 0xC010B40E, unsafe.Pointer(&got))
		event := make([]byte, 48)
		count, err := syscall.Read(int(input), event)
		fmt.Println(got.bits, count, err, event[8])
	}
}
