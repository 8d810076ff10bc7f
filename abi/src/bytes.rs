//! Borrowed bytes.

use abi_stable::StableAbi;

/// A pointer and a length, borrowed for the call that passes it.
///
/// ```
/// let text = String::from("salam");
/// let bytes = host_abi::Bytes::new(text.as_bytes());
/// // SAFETY: `text` is alive and unchanged.
/// assert_eq!(unsafe { bytes.as_slice() }, b"salam");
/// ```
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Bytes {
    ptr: *const u8,
    len: usize,
}

impl Bytes {
    /// No bytes at all.
    pub const EMPTY: Self = Self::new(&[]);

    /// Borrows `slice`. The lifetime is not tracked: the receiver may read it
    /// only until the call it was passed to returns.
    #[must_use]
    pub const fn new(slice: &[u8]) -> Self {
        Self {
            ptr: slice.as_ptr(),
            len: slice.len(),
        }
    }

    /// The bytes as a slice. A null pointer counts as empty, whatever the length.
    ///
    /// # Safety
    ///
    /// The memory must be what [`Bytes::new`] was given, alive and not written
    /// to for `'a`: inside the call that passed it, and not after.
    #[must_use]
    #[inline]
    pub const unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for pointer, length and lifetime.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

pub(crate) const OFFSETS: &[usize] = &[
    core::mem::offset_of!(Bytes, ptr),
    core::mem::offset_of!(Bytes, len),
];
