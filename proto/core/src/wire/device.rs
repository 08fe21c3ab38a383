//! The devices of an account.

use prost::Message;

/// Answer to DEVS, oldest first.
#[derive(Clone, PartialEq, Message)]
pub struct Devices {
    /// The account's devices.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Device>,
}

/// A device of the account.
#[derive(Clone, PartialEq, Message)]
pub struct Device {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// Its name for its owner.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When it was enrolled, milliseconds since 1970; 0: not known.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
    /// When its last session opened or ended, milliseconds since 1970; 0: it never had one.
    #[prost(int64, tag = "4")]
    pub seen_ms: i64,
    /// It has a session now.
    #[prost(bool, tag = "5")]
    pub online: bool,
    /// It is the one that asks.
    #[prost(bool, tag = "6")]
    pub own: bool,
}

/// RVOK: the device that loses its key.
#[derive(Clone, PartialEq, Message)]
pub struct Revoke {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
}

/// Body of a DEVICE entry.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceNotice {
    /// The device: 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device: Vec<u8>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// 1 enrolled, 2 revoked, 3 an old copy of it is running; 4 password changed by the user, 5 by the operator (no device then).
    #[prost(uint32, tag = "3")]
    pub what: u32,
}

impl DeviceNotice {
    /// A device was enrolled.
    pub const ENROLLED: u32 = 1;
    /// A device's key was taken.
    pub const REVOKED: u32 = 2;
    /// An old copy of a device is running.
    pub const COPY: u32 = 3;
    /// The account's user changed the password.
    pub const PASSWORD_CHANGED: u32 = 4;
    /// The server's operator changed it.
    pub const PASSWORD_RESET: u32 = 5;
}
