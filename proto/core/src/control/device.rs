//! Control calls about the account's devices: device list, device revoke.

use serde::{Deserialize, Serialize};

/// The account's devices?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceList {
    /// Profile.
    pub profile: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// A device of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id: 32 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// When its last session opened or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_ms: Option<i64>,
    /// It has a session now.
    pub online: bool,
    /// It is this one.
    pub own: bool,
}

/// Take a device's key away; answered with the device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceRevoke {
    /// Profile.
    pub profile: String,
    /// The start of its id, or its name.
    pub device: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}
