//! Keeping freed memory in the process, and writing where there was nothing.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Values that tasks write part by part, and what each of them gives, in order. A part comes to its task as zeros, which are
/// in the cache still: to clear all of them beforehand takes the memory a time of its own. `init` makes what a thread keeps.
pub fn by_parts<S, T: Send>(
    len: usize,
    part: usize,
    init: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, usize, &mut [f32]) -> T + Sync + Send,
) -> (Vec<f32>, Vec<T>) {
    let mut values = Vec::with_capacity(len);
    let parts = values.spare_capacity_mut()[..len].par_chunks_mut(part).enumerate();
    let results = parts.map_init(init, |kept, (index, part)| work(kept, index, cleared(part))).collect();
    // SAFETY: the vector has room for so many values, and all were cleared at least.
    unsafe { values.set_len(len) };
    (values, results)
}

/// Zeros where there was nothing.
pub(crate) fn cleared(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    values.fill(MaybeUninit::new(0.0));
    // SAFETY: all were just written.
    unsafe { values.assume_init_mut() }
}

/// Values as places that are only written.
///
/// # Safety
/// Nothing but values is written there.
pub(crate) unsafe fn as_places(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout; the caller vouches for what is written.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// Asks the C library to keep freed memory instead of giving it back to the system at once, and the system to give large pages.
///
/// A training step frees and allocates the same hundreds of megabytes again and again. By default glibc
/// maps each large block anew, and the system then clears it page by page as it is first touched, which costs as
/// much time as the arithmetic of a small network. The process stays as large as it has once been.
///
/// Pages of two megabytes spare the processor most searches for where a page of four kilobytes lies: a step of a small network
/// takes a fourteenth less. Linux gives them to who asks (`madvise`), if there are any.
///
/// For a program's first lines; does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` takes two numbers, locks the allocator itself and fails by its return value only.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            // Never.
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            // One heap for all threads: those of each thread by itself are given back as they fall empty.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
        ask_for_large_pages();
    }
}

/// Grows the heap by half of the machine's memory, asks for large pages there, and leaves it to the allocator. Nothing is
/// touched: only what is used later takes memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn ask_for_large_pages() {
    // SAFETY: `sysconf` takes a number. What is advised is whole pages of a block that was just allocated, and advice changes
    // no contents; nothing is done with a null pointer.
    unsafe {
        let [pages, page] = [libc::_SC_PHYS_PAGES, libc::_SC_PAGESIZE].map(|name| libc::sysconf(name));
        let (Ok(pages), Ok(page)) = (usize::try_from(pages), usize::try_from(page)) else { return };
        let len = pages / 2 * page;
        let block = libc::malloc(len + page);
        if !block.is_null() {
            libc::madvise(block.byte_add(block.align_offset(page)), len, libc::MADV_HUGEPAGE);
            libc::free(block);
        }
    }
}
