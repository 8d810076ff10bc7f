//! A group's body: any bytes as they are, and as frames under a right checksum. It
//! never panics, and what is accepted has the frames that it announces, in order.
#![no_main]

use host_journal::group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (count, frames) = input;
    check(frames, None);
    let mut body = b"HJG\0\x01\0\0\0".to_vec();
    body.extend(count.to_le_bytes());
    body.extend((frames.len() as u32).to_le_bytes());
    body.extend(frames);
    body.extend(crc32c::crc32c(&body).to_le_bytes());
    check(&body, Some(count));
});

fn check(body: &[u8], count: Option<u32>) {
    let Ok(frames) = group::decode(body) else {
        return;
    };
    assert!(count.is_none_or(|count| frames.len() == count as usize));
    assert!(frames.windows(2).all(|two| two[0].position < two[1].position));
    assert!(frames.iter().all(|frame| frame.prev < frame.position));
}
