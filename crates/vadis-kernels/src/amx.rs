//! Tiles (AMX) of x86 processors: whether they are there, and how their shapes are told.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Bytes of a tile's row.
pub(crate) const BYTES: usize = 64;

/// Bits of EDX in leaf 7 of `CPUID`: what tiles can multiply.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Of {
    /// AMX-BF16.
    Halves = 1 << 22,
    /// AMX-INT8.
    Bytes = 1 << 25,
}

/// Whether the processor has such tiles and the system gives them to this process. To be asked where there is AVX-512: older
/// processors may not have that leaf.
pub(crate) fn are_there(of: Of) -> bool {
    const TILES: u32 = 1 << 24;
    static THERE: OnceLock<u32> = OnceLock::new();
    let there = *THERE.get_or_init(|| {
        let edx = __cpuid_count(7, 0).edx;
        if edx & TILES != 0 && is_permitted() { edx } else { 0 }
    });
    there & of as u32 != 0
}

/// Linux saves tiles only for a process that has asked for it.
fn is_permitted() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        const TILE_DATA: libc::c_ulong = 18;
        // SAFETY: asks for a state component by its number, and fails by its return value only.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// The shapes of the eight tiles, as `LDTILECFG` reads them.
#[repr(C, align(64))]
pub(crate) struct Shapes([u8; 64]);

impl Shapes {
    /// Tiles of these rows and bytes of a row, at most 16 and 64.
    pub(crate) fn new(tiles: [[usize; 2]; 8]) -> Self {
        let mut shapes = [0; 64];
        shapes[0] = 1;
        for (tile, [rows, bytes]) in tiles.into_iter().enumerate() {
            debug_assert!(rows <= ROWS && bytes <= BYTES, "the shape of a tile");
            shapes[16 + 2 * tile] = bytes as u8;
            shapes[48 + tile] = rows as u8;
        }
        Self(shapes)
    }
}

/// Runs `work` with the tiles of this thread in these shapes, and gives the tiles back after it.
///
/// # Safety
/// There are tiles, and `work` uses no others: neither by this function nor otherwise.
pub(crate) unsafe fn with_shapes<R>(shapes: &Shapes, work: impl FnOnce() -> R) -> R {
    struct Release;

    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: there are tiles, and nothing uses them any more.
            unsafe { asm!("tilerelease", options(nostack, nomem)) }
        }
    }

    // SAFETY: the caller's; the shapes are whole tiles or less.
    unsafe { asm!("ldtilecfg [{shapes}]", shapes = in(reg) shapes, options(nostack, readonly)) }
    let _release = Release;
    work()
}
