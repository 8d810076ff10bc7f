//! The room for `unsafe`: opening a library, and the functions of its table.

#![allow(
    unsafe_code,
    reason = "the loader's room for unsafe: dlopen, and pointers from a plugin"
)]

use std::ffi::c_void;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use host_abi::abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use host_abi::abi_stable::type_layout::TypeLayout;
use host_abi::{
    ABI_MAJOR, Bytes, Call, ENTRY_SYMBOL, EntryFn, HostApi, LAYOUT_HASH, PluginVt, Sink, Status,
    TABLE_HOST_API, TABLE_PLUGIN_VT,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use thiserror::Error;

/// Why a library is no plugin of this host's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The dynamic linker refused it.
    #[error("{} is not a shared object that can be opened here ({message}); build it as a cdylib for this machine's target, and check that it is whole", path.display())]
    Dlopen {
        /// The file.
        path: PathBuf,
        /// What the linker said.
        message: String,
    },
    /// It is a shared object, and not a plugin.
    #[error("{} has no symbol {ENTRY_SYMBOL}: it is not a plugin, or its crate lacks export_plugin!", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// Its entry gave nothing, or a table too short to be one.
    #[error("{} has a table of {found} bytes, and one of ABI {ABI_MAJOR} has at least {least}", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// The size that the table gives.
        found: usize,
        /// What is needed.
        least: usize,
    },
    /// It was built for another generation of the ABI.
    #[error("{} speaks ABI {found}, and this host speaks {ABI_MAJOR}: build it with the SDK of this host", path.display())]
    AbiMajor {
        /// The file.
        path: PathBuf,
        /// Its major.
        found: u32,
    },
    /// Its types are laid out otherwise.
    #[error("{} lays out the ABI's types otherwise (hash {found:#018x}, this host's is {LAYOUT_HASH:#018x}): build it with the SDK and the compiler of this host", path.display())]
    LayoutHash {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: u64,
    },
    /// abi_stable's full check found a difference.
    #[error("{} does not have this host's layout of {table}: {message}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Which table.
        table: &'static str,
        /// What abi_stable says.
        message: String,
    },
}

/// A table whose header has been checked. Its library is mapped for ever.
#[derive(Clone, Copy)]
pub(crate) struct Table(PluginVt);

// SAFETY: the table is functions and numbers, and the ABI says that its
// functions may be called from any thread; that a state is used by one thread
// at a time is what `State` is for.
unsafe impl Send for Table {}
// SAFETY: as for Send.
unsafe impl Sync for Table {}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl std::ops::Deref for Table {
    type Target = PluginVt;

    fn deref(&self) -> &PluginVt {
        &self.0
    }
}

/// Opens the library at `path` and checks the header of its table.
///
/// Opening runs the library's initialisers: whatever they do, they do here. That
/// is why a child process opens it first. The same `path` must never be opened
/// after its file has changed. The library stays mapped for the life of the
/// process, so that whatever comes from it may be kept.
pub(crate) fn open(path: &Path) -> Result<Table, OpenError> {
    // SAFETY: what initialisers do cannot be checked; plugins are trusted native
    // code, and a child process has survived this one.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    // Never dropped: see the crate's first invariant.
    let library = ManuallyDrop::new(library.map_err(|e| OpenError::Dlopen {
        path: path.to_owned(),
        message: said(&e),
    })?);
    // SAFETY: the symbol's type is the ABI's; a library that gives the name to
    // something else is not a plugin, and has been met in the child.
    let entry =
        unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }.map_err(|_| OpenError::NoEntry {
            path: path.to_owned(),
        })?;
    // SAFETY: as above.
    let table = unsafe { entry() };
    check_header(path, table)
}

fn check_header(path: &Path, table: *const PluginVt) -> Result<Table, OpenError> {
    let path = || path.to_owned();
    // Up to the last field of this major's first minor.
    let least = offset_of!(PluginVt, shutdown) + size_of::<usize>();
    let no_table = |found| OpenError::NoTable {
        path: path(),
        found,
        least,
    };
    let Some(table) = NonNull::new(table.cast_mut()) else {
        return Err(no_table(0));
    };
    let table = table.as_ptr();
    // SAFETY: every table begins with its size, and the two numbers behind it
    // have the same place in every major; `size` says whether they are there.
    let (size, major) = unsafe { ((*table).size, (*table).abi_major) };
    if size < offset_of!(PluginVt, type_layout) {
        return Err(no_table(size));
    }
    if major != ABI_MAJOR {
        return Err(OpenError::AbiMajor {
            path: path(),
            found: major,
        });
    }
    // SAFETY: the header is within `size`.
    let found = unsafe { (*table).layout_hash };
    if found != LAYOUT_HASH {
        return Err(OpenError::LayoutHash {
            path: path(),
            found,
        });
    }
    if size < least {
        return Err(no_table(size));
    }
    // SAFETY: the table covers all fields of this major's first minor; what it covers
    // beyond them is looked at there.
    Ok(Table(unsafe { read(table, size) }))
}

/// A table of which `size` bytes are there: the fields that came later and that an older
/// plugin does not have stand for "there is no such function". A longer table is a
/// newer plugin's, whose further fields are not read.
///
/// # Safety
///
/// `table` covers the fields up to `shutdown`, and as much more as `size` says.
unsafe fn read(table: *const PluginVt, size: usize) -> PluginVt {
    unsafe extern "C" fn no_hooks(_: *const Call, _: *const Sink) -> Status {
        Status::ABSENT
    }
    unsafe extern "C" fn no_configuration(_: Bytes, _: *const Sink) -> Status {
        Status::ABSENT
    }
    // Where each field that came later ends, the last one first.
    let ends = [offset_of!(PluginVt, configure), offset_of!(PluginVt, run)];
    let ends = ends.map(|offset| offset + size_of::<usize>());
    let covered = ends.into_iter().find(|end| *end <= size);
    let covered = covered.unwrap_or(offset_of!(PluginVt, run));
    let mut read = MaybeUninit::<PluginVt>::uninit();
    // SAFETY: `covered` bytes are there to be read, by the caller's word and by `size`,
    // and there is room for as many; with the two that came later every field has been
    // written.
    unsafe {
        (&raw mut (*read.as_mut_ptr()).run).write(no_hooks);
        (&raw mut (*read.as_mut_ptr()).configure).write(no_configuration);
        ptr::copy_nonoverlapping(table.cast::<u8>(), read.as_mut_ptr().cast(), covered);
        read.assume_init()
    }
}

/// abi_stable's full comparison of both tables, field by field.
///
/// Only for a process that ends soon: the check keeps references into the library.
pub(crate) fn check_layouts(path: &Path, table: &Table) -> Result<(), OpenError> {
    for (number, name) in [(TABLE_PLUGIN_VT, "PluginVt"), (TABLE_HOST_API, "HostApi")] {
        let differs = |message: String| OpenError::Layout {
            path: path.to_owned(),
            table: name,
            message,
        };
        let ours = host_abi::type_layout(number).expect("both tables have a layout");
        // SAFETY: the header's hash, which covers abi_stable's version, has been
        // compared: the pointer is null, or to a TypeLayout as this process knows it.
        let theirs = unsafe {
            let theirs: *const c_void = (table.type_layout)(number);
            theirs.cast::<TypeLayout>().as_ref()
        };
        let theirs: &'static TypeLayout =
            theirs.ok_or_else(|| differs("the plugin describes no such table".to_owned()))?;
        // A table may be longer on the side that is newer. abi_stable wants the shorter
        // one first, and compares what both have.
        let (wanted, given) = match number {
            TABLE_PLUGIN_VT if table.size >= size_of::<PluginVt>() => (ours, theirs),
            _ => (theirs, ours),
        };
        check_layout_compatibility(wanted, given).map_err(|e| differs(e.to_string()))?;
    }
    Ok(())
}

/// The host's table as a plugin gets it.
pub(crate) fn host_api(identity: &'static crate::plugin::Identity) -> &'static HostApi {
    Box::leak(Box::new(HostApi {
        size: size_of::<HostApi>(),
        ctx: ptr::from_ref(identity).cast(),
        log_enabled,
        log,
        now,
        random,
    }))
}

use api::{log, log_enabled, now, random};

/// The functions of the host's table.
mod api {
    use std::ffi::c_void;
    use std::time::{SystemTime, UNIX_EPOCH};

    use host_abi::{Bytes, LogLevel};
    use tracing::Level;

    use crate::plugin::Identity;

    pub(super) unsafe extern "C" fn log_enabled(_: *const c_void, level: LogLevel) -> u32 {
        u32::from(match level {
            LogLevel::ERROR => tracing::enabled!(target: "plugin", Level::ERROR),
            LogLevel::WARN => tracing::enabled!(target: "plugin", Level::WARN),
            LogLevel::INFO => tracing::enabled!(target: "plugin", Level::INFO),
            LogLevel::DEBUG => tracing::enabled!(target: "plugin", Level::DEBUG),
            _ => tracing::enabled!(target: "plugin", Level::TRACE),
        })
    }

    pub(super) unsafe extern "C" fn log(
        ctx: *const c_void,
        level: LogLevel,
        target: Bytes,
        message: Bytes,
        fields: Bytes,
    ) {
        // SAFETY: `ctx` is the identity that `host_api` was given, which lives for
        // ever; the bytes are borrowed for this call.
        let (identity, target, message, fields) = unsafe {
            (
                &*ctx.cast::<Identity>(),
                target.as_slice(),
                message.as_slice(),
                fields.as_slice(),
            )
        };
        let module = String::from_utf8_lossy(target);
        let message = String::from_utf8_lossy(message);
        let fields = String::from_utf8_lossy(fields);
        let (plugin, version) = (&identity.name, &identity.version);
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(target: "plugin", $level, %plugin, %version, %module, %fields, "{message}")
            };
        }
        match level {
            LogLevel::ERROR => line!(Level::ERROR),
            LogLevel::WARN => line!(Level::WARN),
            LogLevel::INFO => line!(Level::INFO),
            LogLevel::DEBUG => line!(Level::DEBUG),
            _ => line!(Level::TRACE),
        }
    }

    pub(super) unsafe extern "C" fn now(_: *const c_void) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) unsafe extern "C" fn random(_: *const c_void) -> u64 {
        // The kernel's generator does not fail once it is seeded, which it is at boot.
        getrandom::u64().unwrap_or_default()
    }
}

fn said(error: &libloading::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}
