//! Keeping freed memory in the process, and clearing it.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Elements that a task clears.
const PART: usize = 1 << 16;

/// So many zeros, cleared by all threads: one by itself takes as long as it takes all of them to fill them with gradients.
pub fn zeros(len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    values.spare_capacity_mut()[..len].par_chunks_mut(PART).for_each(|part| {
        part.fill(MaybeUninit::new(0.0));
    });
    // SAFETY: the vector has room for so many values, and all were written.
    unsafe { values.set_len(len) };
    values
}

/// Asks the C library to keep freed memory instead of giving it back to the system at once.
///
/// A training step frees and allocates the same hundreds of megabytes again and again. By default glibc
/// maps each large block anew, and the system then clears it page by page as it is first touched, which costs as
/// much time as the arithmetic of a small network. The process stays as large as it has once been.
///
/// For a program's first lines; does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers, locks the allocator itself and fails by its return value only.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        // One heap for all threads: those of each thread by itself are given back as they fall empty.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
