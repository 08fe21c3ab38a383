//! Keys of messages (`--id`): what makes a retry safe. Made here where none is given.

use chat_proto::limits::KEY_MAX;

use crate::output::Trouble;
use crate::words::troubles;

/// A key that no one used before: 80 random bits in base 32.
pub fn fresh() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}

/// The key that was given, checked, or a fresh one.
pub fn given_or_fresh(given: Option<&str>) -> Result<String, Trouble> {
    match given {
        Some(key) if key.is_empty() || key.len() > KEY_MAX || key.chars().any(char::is_control) => {
            Err(troubles::bad_key())
        }
        Some(key) => Ok(key.to_owned()),
        None => fresh().map_err(|error| troubles::unreadable("the system's randomness", &std::io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let (one, two) = (given_or_fresh(None).expect("made"), given_or_fresh(None).expect("made"));
        assert!(one != two && one.len() == 16 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(given_or_fresh(Some("build-77")).as_deref(), Ok("build-77"));
        assert!(given_or_fresh(Some("")).is_err());
        assert!(given_or_fresh(Some("a\nb")).is_err());
        assert!(given_or_fresh(Some(&"x".repeat(KEY_MAX + 1))).is_err());
    }
}
