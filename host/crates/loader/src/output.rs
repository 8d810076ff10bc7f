//! The host's end of a plugin's answer.

#![allow(
    unsafe_code,
    reason = "the callbacks that a plugin writes its answer through"
)]

use std::ffi::c_void;
use std::ptr;

use host_abi::{Bytes, Fault, FaultKind, Part, Sink};

/// What a plugin has written in one call.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) event: Option<Vec<u8>>,
    pub(crate) effects: Vec<Vec<u8>>,
    pub(crate) rejection: Option<Vec<u8>>,
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) carry: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) fault: Option<Broken>,
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

    fn take(&mut self, part: Part, bytes: &[u8]) {
        let slot = match part {
            Part::EFFECT => {
                self.effects.push(bytes.to_vec());
                return;
            }
            Part::REPLY => &mut self.reply,
            Part::EVENT => &mut self.event,
            Part::REJECTION => &mut self.rejection,
            Part::STATE => &mut self.state,
            Part::CARRY => &mut self.carry,
            Part::PAYLOAD => &mut self.payload,
            Part::NAME => &mut self.name,
            Part::DOCUMENT => &mut self.document,
            // A part of a newer minor, which this host has no use for.
            _ => return,
        };
        *slot = Some(bytes.to_vec());
    }
}

unsafe extern "C" fn write(ctx: *mut c_void, part: Part, bytes: Bytes) {
    // SAFETY: `ctx` is the Output that `collect` borrows mutably for the length of
    // the call, in which the plugin writes from this thread only; the plugin's
    // bytes are alive until this returns.
    unsafe { (*ctx.cast::<Output>()).take(part, bytes.as_slice()) }
}

unsafe extern "C" fn fault(ctx: *mut c_void, fault: *const Fault) {
    // SAFETY: as in `write`.
    let (output, fault) = unsafe { (&mut *ctx.cast::<Output>(), &*fault) };
    let text = |bytes: Bytes| {
        // SAFETY: as in `write`.
        String::from_utf8_lossy(unsafe { bytes.as_slice() }).into_owned()
    };
    output.fault = Some(Broken {
        kind: fault.kind,
        message: text(fault.message),
        file: text(fault.file),
        line: fault.line,
    });
}
