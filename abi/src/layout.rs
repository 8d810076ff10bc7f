//! One number for the layout of everything that crosses.

use crate::{
    Bytes, Call, Caller, Fault, FaultKind, LogLevel, Migration, Part, Sink, State, Status,
};
use crate::{bytes, call, sink, table};

/// FNV-1a over the name, size, alignment and field offsets of every type of
/// this crate, and over the offsets of the tables' first fields (not over the
/// tables' sizes: those may grow). Compared before anything else is called;
/// also covers abi_stable's version, whose own types `type_layout` hands out.
///
/// FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>
pub const LAYOUT_HASH: u64 = {
    let hash = text(OFFSET_BASIS, "host-abi 1; abi_stable 0.11.3");
    let hash = shape::<Bytes>(hash, "Bytes", bytes::OFFSETS);
    let hash = shape::<Part>(hash, "Part", &[0]);
    let hash = shape::<Status>(hash, "Status", &[0]);
    let hash = shape::<FaultKind>(hash, "FaultKind", &[0]);
    let hash = shape::<LogLevel>(hash, "LogLevel", &[0]);
    let hash = shape::<Fault>(hash, "Fault", sink::FAULT_OFFSETS);
    let hash = shape::<Sink>(hash, "Sink", sink::SINK_OFFSETS);
    let hash = shape::<State>(hash, "State", &[]);
    let hash = shape::<Caller>(hash, "Caller", &[0]);
    let hash = shape::<Call>(hash, "Call", call::CALL_OFFSETS);
    let hash = shape::<Migration>(hash, "Migration", call::MIGRATION_OFFSETS);
    let hash = offsets(text(hash, "HostApi"), table::HOST_API_OFFSETS);
    offsets(text(hash, "PluginVt"), table::PLUGIN_VT_OFFSETS)
};

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

const fn shape<T>(hash: u64, name: &str, fields: &[usize]) -> u64 {
    let hash = word(text(hash, name), size_of::<T>());
    offsets(word(hash, align_of::<T>()), fields)
}

const fn offsets(hash: u64, fields: &[usize]) -> u64 {
    let mut hash = word(hash, fields.len());
    let mut i = 0;
    while i < fields.len() {
        hash = word(hash, fields[i]);
        i += 1;
    }
    hash
}

const fn text(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = byte(hash, bytes[i]);
        i += 1;
    }
    word(hash, bytes.len())
}

const fn word(mut hash: u64, value: usize) -> u64 {
    let bytes = (value as u64).to_le_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = byte(hash, bytes[i]);
        i += 1;
    }
    hash
}

const fn byte(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(PRIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_major_1_has_not_moved() {
        // A change here breaks every plugin ever built for this major: raise
        // ABI_MAJOR instead, and then this number.
        assert_eq!(
            LAYOUT_HASH, 0x803e_655a_aefb_667e,
            "LAYOUT_HASH is {LAYOUT_HASH:#018x}"
        );
    }

    #[test]
    fn a_moved_field_another_size_or_another_name_changes_the_hash() {
        let of = |name, fields: &[usize]| shape::<u32>(OFFSET_BASIS, name, fields);
        let plain = of("A", &[0, 8]);
        assert_ne!(plain, of("A", &[0, 16]));
        assert_ne!(plain, of("B", &[0, 8]));
        assert_ne!(plain, of("A", &[0, 8, 16]));
        assert_ne!(plain, shape::<u64>(OFFSET_BASIS, "A", &[0, 8]));
    }
}
