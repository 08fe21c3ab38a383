//! Invitations: what their codes look like, and the only thing that is kept of one. Made by the operator's verbs, redeemed by
//! [`super::Accounts::register`].

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::store::InviteHash;

/// The letters and digits of a code: none that is taken for another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstvwxyz0123456789";
/// How many there are in a code: 125 bits, beyond any guess.
const SYMBOLS: usize = 25;
/// They stand in groups of so many, to be read aloud.
const GROUP: usize = 5;

/// The code of a new invitation, to be shown once.
pub fn code() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut random = Zeroizing::new([0; SYMBOLS]);
    getrandom::fill(random.as_mut())?;
    let mut code = Zeroizing::new(String::with_capacity(SYMBOLS + SYMBOLS / GROUP));
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(code)
}

/// What is kept of a code, however it was typed; nothing when none was. The code is random, so a quick hash hides it.
pub fn hash(typed: &str) -> Option<InviteHash> {
    let mut hash = Sha256::new();
    hash.update(b"chat-invite-v1");
    let mut empty = true;
    for symbol in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        empty = false;
        hash.update(symbol.to_ascii_lowercase().encode_utf8(&mut [0; 4]));
    }
    (!empty).then(|| hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_can_be_typed_in_any_way() {
        let (one, two) = (code().unwrap(), code().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), SYMBOLS + SYMBOLS / GROUP - 1);
        assert_ne!(hash(&one), hash(&two));
        let sloppy = format!(" {}\n", one.to_uppercase().replace('-', " "));
        assert_eq!(hash(&sloppy), hash(&one));
        assert_eq!(hash(" -\n"), None);
    }
}
