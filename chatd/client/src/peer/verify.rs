//! The short code that two users compare over another way, to know that nobody sits between them (S29, S42).

use sha2::{Digest, Sha256};

/// Rounds of hashing: what is cheap once is dear for somebody who looks for a pair of keys with the same code.
const ROUNDS: u32 = 5_200;

/// Six groups of five digits, equal on both sides: of both accounts' names and keys, whichever side asks.
pub fn verification_code(own: (&str, &[u8; 32]), peer: (&str, &[u8; 32])) -> String {
    let (first, second) = if own <= peer { (own, peer) } else { (peer, own) };
    let mut hash = Sha256::new();
    hash.update(b"chat-verify-v1");
    for (name, key) in [first, second] {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(key);
    }
    let mut digest: [u8; 32] = hash.finalize().into();
    for _ in 1..ROUNDS {
        digest = Sha256::digest(digest).into();
    }
    let groups = digest.chunks(5).take(6).map(|five| {
        let number = five.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    });
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_and_anybody_else_something_else() {
        let (alice, bob, eve) = (("alice", &[1; 32]), ("bob", &[2; 32]), ("bob", &[3; 32]));
        let code = verification_code(alice, bob);
        assert_eq!(code, verification_code(bob, alice));
        assert_ne!(code, verification_code(alice, eve));
        assert_eq!(code.len(), 35);
        assert!(code.bytes().all(|b| b.is_ascii_digit() || b == b' '));
    }
}
