//! The exported symbol, and a table that is as wrong as the marker says.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use host_abi::{ABI_MAJOR, ABI_MINOR, LAYOUT_HASH, PluginVt, TABLE_HOST_API};

use crate::functions::{self, manifest};
use crate::init::init;
use crate::marker::behaviour;

/// The table as it should be.
const TABLE: PluginVt = PluginVt {
    size: size_of::<PluginVt>(),
    abi_major: ABI_MAJOR,
    abi_minor: ABI_MINOR,
    layout_hash: LAYOUT_HASH,
    type_layout,
    manifest,
    init,
    new: functions::new,
    handle: functions::handle,
    apply: functions::apply,
    query: functions::query,
    timer: functions::timer,
    authorize: functions::authorize,
    export: functions::export,
    import: functions::import,
    up: functions::up,
    down: functions::down,
    upcast: functions::upcast,
    downcast: functions::downcast,
    check: functions::check,
    health: functions::health,
    samples: functions::samples,
    config: functions::config,
    drop: functions::drop_state,
    shutdown: functions::shutdown,
    run: functions::run,
    configure: functions::configure,
};

/// A table of a minor that this host does not know: more functions behind the
/// ones that it does.
#[repr(C)]
struct Longer {
    known: PluginVt,
    unknown: [usize; 4],
}

/// The library's entry: its table of functions.
// SAFETY: no other symbol of this library has this name.
#[unsafe(no_mangle)]
extern "C" fn host_plugin_entry() -> *const PluginVt {
    let table = match behaviour().as_str() {
        "null_table" => return ptr::null(),
        // Not even the header is there.
        "short_header" => PluginVt { size: 8, ..TABLE },
        // The header is, and some function is not.
        "short_table" => PluginVt {
            size: offset_of!(PluginVt, shutdown),
            ..TABLE
        },
        // As it was before there were hooks.
        "minor_0_table" => PluginVt {
            size: offset_of!(PluginVt, run),
            abi_minor: 0,
            ..TABLE
        },
        // As it was before there was a configuration.
        "minor_1_table" => PluginVt {
            size: offset_of!(PluginVt, configure),
            abi_minor: 1,
            ..TABLE
        },
        "longer_table" => return longer(),
        "other_major" => PluginVt {
            abi_major: ABI_MAJOR + 1,
            ..TABLE
        },
        "other_minor" => PluginVt {
            abi_minor: ABI_MINOR + 1,
            ..TABLE
        },
        "other_hash" => PluginVt {
            layout_hash: !LAYOUT_HASH,
            ..TABLE
        },
        "other_layout" => PluginVt {
            type_layout: other_layout,
            ..TABLE
        },
        "no_layout" => PluginVt {
            type_layout: no_layout,
            ..TABLE
        },
        _ => TABLE,
    };
    Box::leak(Box::new(table))
}

fn longer() -> *const PluginVt {
    let table = Box::leak(Box::new(Longer {
        known: PluginVt {
            size: size_of::<Longer>(),
            abi_minor: ABI_MINOR + 1,
            ..TABLE
        },
        // Whoever takes these for functions will not come back.
        unknown: [usize::MAX; 4],
    }));
    &raw const table.known
}

unsafe extern "C" fn type_layout(table: u32) -> *const c_void {
    host_abi::type_layout(table).map_or(ptr::null(), |layout| ptr::from_ref(layout).cast())
}

/// Describes the host's table wherever the plugin's is asked for.
unsafe extern "C" fn other_layout(_: u32) -> *const c_void {
    // SAFETY: a function of this library, called as the host would.
    unsafe { type_layout(TABLE_HOST_API) }
}

unsafe extern "C" fn no_layout(_: u32) -> *const c_void {
    ptr::null()
}
