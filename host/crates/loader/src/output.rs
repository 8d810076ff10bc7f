//! The host's end of a plugin's answer.

#![allow(
    unsafe_code,
    reason = "the callbacks that a plugin writes its answer through"
)]

use std::ffi::c_void;
use std::ptr;

use host_abi::{Bytes, Fault, FaultKind, Part, Sink};

/// What a plugin has written in one call: nothing, or a few parts. Empty, it costs
/// nothing to make or to drop, and most calls leave it so but for a reply.
#[derive(Debug, Default)]
pub(crate) struct Output {
    parts: Vec<(Part, Vec<u8>)>,
    fault: Option<Box<Broken>>,
}

/// A fault as it came over the boundary.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Output {
    /// Runs `call` with a sink that writes here.
    pub(crate) fn collect<T>(&mut self, call: impl FnOnce(*const Sink) -> T) -> T {
        let sink = Sink {
            ctx: ptr::from_mut(self).cast(),
            write,
            fault,
        };
        call(&raw const sink)
    }

    /// The part of this kind; the last one, if a plugin has written several.
    pub(crate) fn take(&mut self, part: Part) -> Option<Vec<u8>> {
        let position = self.parts.iter().rposition(|(kind, _)| *kind == part)?;
        Some(self.parts.remove(position).1)
    }

    /// The effects, in order.
    pub(crate) fn effects(&self) -> impl Iterator<Item = &[u8]> {
        let effects = self.parts.iter().filter(|(kind, _)| *kind == Part::EFFECT);
        effects.map(|(_, bytes)| bytes.as_slice())
    }

    /// The fault, if one was reported.
    pub(crate) fn take_fault(&mut self) -> Option<Box<Broken>> {
        self.fault.take()
    }
}

unsafe extern "C" fn write(ctx: *mut c_void, part: Part, bytes: Bytes) {
    // SAFETY: `ctx` is the Output that `collect` borrows mutably for the length of
    // the call, in which the plugin writes from this thread only; the plugin's
    // bytes are alive until this returns.
    unsafe {
        (*ctx.cast::<Output>())
            .parts
            .push((part, bytes.as_slice().to_vec()))
    }
}

unsafe extern "C" fn fault(ctx: *mut c_void, fault: *const Fault) {
    // SAFETY: as in `write`.
    let (output, fault) = unsafe { (&mut *ctx.cast::<Output>(), &*fault) };
    let text = |bytes: Bytes| {
        // SAFETY: as in `write`.
        String::from_utf8_lossy(unsafe { bytes.as_slice() }).into_owned()
    };
    output.fault = Some(Box::new(Broken {
        kind: fault.kind,
        message: text(fault.message),
        file: text(fault.file),
        line: fault.line,
    }));
}
