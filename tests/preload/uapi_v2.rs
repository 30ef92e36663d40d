// SPDX-License-Identifier: BSD-3-Clause
// uapi_v2.rs - the kernel's uAPI v2 from Rust, without a crate.
use std::fs::File;
use std::io::Error;
use std::os::unix::io::{AsRawFd, FromRawFd};

extern "C" {
    fn ioctl(fd: i32, request: u64, ...) -> i32;
}

// As <linux/gpio.h> has them; sizes and offsets are those of its structures.
const GET_CHIPINFO: u64 = 0x8044_b401;
const GET_LINE: u64 = 0xc250_b407;
const GET_VALUES: u64 = 0xc010_b40e;
const SET_VALUES: u64 = 0xc010_b40f;
const OUTPUT: u64 = 1 << 3;

fn ask<const SIZE: usize>(file: &File, request: u64, argument: &mut [u8; SIZE]) {
    let result = unsafe { ioctl(file.as_raw_fd(), request, argument.as_mut_ptr()) };
    assert!(result >= 0, "{:#x}: {}", request, Error::last_os_error());
}

fn main() {
    let path = std::env::args().nth(1).unwrap();
    assert!(std::fs::metadata(&path).is_ok());
    let chip = File::options().read(true).write(true).open(&path).unwrap();
    let mut info = [0u8; 68];
    ask(&chip, GET_CHIPINFO, &mut info);
    let label: Vec<u8> = info[32..64].iter().copied().take_while(|c| *c != 0).collect();
    println!("{} {}", String::from_utf8(label).unwrap(), info[64]);

    // offsets[64], consumer[32], config (flags first), num_lines, event_buffer_size, pad, fd
    let mut request = [0u8; 592];
    request[0] = 2;
    request[288..296].copy_from_slice(&OUTPUT.to_ne_bytes());
    request[560] = 1;
    ask(&chip, GET_LINE, &mut request);
    let fd = i32::from_ne_bytes(request[588..592].try_into().unwrap());
    let lines = unsafe { File::from_raw_fd(fd) };
    for value in [1u8, 0] {
        let mut values = [0u8; 16]; // bits, mask
        values[0] = value;
        values[8] = 1;
        ask(&lines, SET_VALUES, &mut values);
        values[0] = 1 - value;
        ask(&lines, GET_VALUES, &mut values);
        println!("{}", values[0]);
    }
}
