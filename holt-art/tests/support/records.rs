//! Keys of many shapes in shared directories, and values that say whose they are.
//!
//! A value is made from its key and a token and nothing else, so whoever reads one can
//! make it again and compare every byte: a value of another key, a mixture of two
//! writes or a wrong length cannot pass.

use crate::random::mix;

/// The key with number `n`. Different numbers give different keys.
pub(crate) fn key(n: u32) -> Vec<u8> {
    let i = n / 8;
    match n % 8 {
        // Files in directories that all threads share.
        0..=2 => format!("bucket-{:02}/path/sub-{}/file-{n:07}", i % 24, i % 5).into_bytes(),
        // Each key is a prefix of the next ones: a spine of nodes with a record each.
        3 => {
            let mut key = format!("spine-{}/", i % 8).into_bytes();
            key.resize(key.len() + (i / 8 % 700) as usize, b'p');
            if i >= 5600 {
                key.extend_from_slice(&(i / 5600).to_be_bytes());
            }
            key
        }
        // Wide nodes with bytes of all values.
        4 | 5 => {
            let mut key = b"node".to_vec();
            key.extend_from_slice(&n.wrapping_mul(0x9E37_79B1).to_le_bytes());
            key.truncate(7);
            key.extend_from_slice(&n.to_le_bytes()[..3]);
            key
        }
        // No structure at all.
        6 => mix(u64::from(n)).to_be_bytes().to_vec(),
        // Long names with the difference at their end; some longer than a frame's share.
        _ => {
            let mut key = format!("long/{}/", i % 3).into_bytes();
            let length = if i % 61 == 7 { 5000 } else { 200 + (i % 5) as usize * 90 };
            key.resize(key.len() + length, b'x');
            key.extend_from_slice(&n.to_be_bytes());
            key
        }
    }
}

fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Bytes of a value in front of what fills it up: the key's hash and the token.
const HEAD: usize = 16;

/// The value for `key` that `token` names: from 16 bytes to 40 KiB, mostly short.
pub(crate) fn value(key: &[u8], token: u64) -> Vec<u8> {
    let hash = hash(key);
    let mut state = mix(hash ^ mix(token));
    let length = match state % 512 {
        0 => 4096 + (state >> 16) % 36_864,
        1..=3 => 2900 + (state >> 16) % 1700,
        4..=20 => 256 + (state >> 16) % 1200,
        _ => (state >> 16) % 100,
    };
    let mut value = Vec::with_capacity(HEAD + length as usize + 8);
    value.extend_from_slice(&hash.to_le_bytes());
    value.extend_from_slice(&token.to_le_bytes());
    while value.len() < HEAD + length as usize {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        value.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    value.truncate(HEAD + length as usize);
    value
}

/// The token of a value that was read for `key`.
///
/// # Panics
///
/// When the value is not exactly one that was made for the key.
pub(crate) fn token(key: &[u8], found: &[u8]) -> u64 {
    assert!(found.len() >= HEAD, "a value of {} bytes for {}", found.len(), key.escape_ascii());
    let token = u64::from_le_bytes(found[8..HEAD].try_into().unwrap());
    assert!(
        found == value(key, token),
        "the value of {} is torn or belongs elsewhere; its token is {token:#x}",
        key.escape_ascii()
    );
    token
}
