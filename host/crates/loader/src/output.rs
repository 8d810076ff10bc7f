//! The host's end of a plugin's answer.

#![allow(
    unsafe_code,
    reason = "the callbacks that a plugin writes its answer through"
)]

use std::ffi::c_void;
use std::ptr;

use host_abi::{Bytes, Fault, FaultKind, Part, Sink};

/// What a plugin has written in one call: nothing, a reply, or some parts.
///
/// A call takes some nanoseconds, so what most calls do not need must cost nothing:
/// no list for one part, and two pointers to look at once that is taken.
#[derive(Debug)]
pub(crate) struct Output {
    first: Option<Written>,
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    more: Vec<Written>,
    fault: Option<Box<Broken>>,
}

type Written = (Part, Vec<u8>);

/// A fault as it came over the boundary.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Output {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            first: None,
            rest: None,
        }
    }

    /// Runs `call` with a sink that writes here.
    #[inline]
    pub(crate) fn collect<T>(&mut self, call: impl FnOnce(*const Sink) -> T) -> T {
        let sink = Sink {
            ctx: ptr::from_mut(self).cast(),
            write,
            fault,
        };
        call(&raw const sink)
    }

    /// The part of this kind; the last one, if a plugin has written several.
    #[inline]
    pub(crate) fn take(&mut self, part: Part) -> Option<Vec<u8>> {
        if let Some(rest) = &mut self.rest
            && let Some(position) = rest.more.iter().rposition(|(kind, _)| *kind == part)
        {
            return Some(rest.more.remove(position).1);
        }
        let first = self.first.take_if(|(kind, _)| *kind == part)?;
        Some(first.1)
    }

    /// The effects, in order.
    pub(crate) fn effects(&self) -> impl Iterator<Item = &[u8]> {
        let more = self.rest.iter().flat_map(|rest| &rest.more);
        let effects = (self.first.iter().chain(more)).filter(|(kind, _)| *kind == Part::EFFECT);
        effects.map(|(_, bytes)| bytes.as_slice())
    }

    /// The effects as one JSON array; nothing where there are none.
    pub(crate) fn effects_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        for effect in self.effects() {
            json.push(if json.is_empty() { b'[' } else { b',' });
            json.extend_from_slice(effect);
        }
        if !json.is_empty() {
            json.push(b']');
        }
        json
    }

    /// The fault, if one was reported.
    pub(crate) fn take_fault(&mut self) -> Option<Box<Broken>> {
        self.rest.as_mut()?.fault.take()
    }

    fn push(&mut self, written: Written) {
        match (&self.first, &mut self.rest) {
            (None, None) => self.first = Some(written),
            (_, rest) => rest.get_or_insert_default().more.push(written),
        }
    }
}

unsafe extern "C" fn write(ctx: *mut c_void, part: Part, bytes: Bytes) {
    // SAFETY: `ctx` is the Output that `collect` borrows mutably for the length of
    // the call, in which the plugin writes from this thread only; the plugin's
    // bytes are alive until this returns.
    let (output, bytes) = unsafe { (&mut *ctx.cast::<Output>(), bytes.as_slice()) };
    output.push((part, bytes.to_vec()));
}

unsafe extern "C" fn fault(ctx: *mut c_void, fault: *const Fault) {
    // SAFETY: as in `write`.
    let (output, fault) = unsafe { (&mut *ctx.cast::<Output>(), &*fault) };
    let text = |bytes: Bytes| {
        // SAFETY: as in `write`.
        String::from_utf8_lossy(unsafe { bytes.as_slice() }).into_owned()
    };
    output.rest.get_or_insert_default().fault = Some(Box::new(Broken {
        kind: fault.kind,
        message: text(fault.message),
        file: text(fault.file),
        line: fault.line,
    }));
}
