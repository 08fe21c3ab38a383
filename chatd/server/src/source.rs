//! Where a connection comes from, as far as limits care: one IPv4 address or one IPv6 /64 (S5).
//!
//! Used by the gateway and the relay (places), by accounts (lockout, rates) and by the audit log (lines a second).

use std::net::{IpAddr, Ipv6Addr};

/// A source of connections: whoever holds one address of a /64 holds them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(u128);

/// The bits of an IPv6 address that tell sources apart.
const PREFIX: u128 = !0 << 64;

impl Source {
    /// The source of an address; IPv4 in IPv6 clothes is IPv4.
    pub fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source(u128::from(v4.to_ipv6_mapped())),
            IpAddr::V6(v6) => Source(u128::from(v6) & PREFIX),
        }
    }

    /// Its bytes, for keyed hashes.
    pub fn bytes(&self) -> [u8; 16] {
        Ipv6Addr::from(self.0).octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_or_one_64() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
