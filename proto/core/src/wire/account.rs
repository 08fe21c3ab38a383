//! Getting an account and into it: names, passwords, logins.

use prost::Message;

/// NAME: the account that the client wants to be (mission rule 1).
#[derive(Clone, PartialEq, Message)]
pub struct Name {
    /// The account's name as typed.
    #[prost(string, tag = "1")]
    pub account: String,
    /// The device that will prove itself, where there is one: its own session is not elsewhere.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
}

/// Answer to NAME: the state of the name, and how this server treats names and devices, whatever the name.
#[derive(Clone, PartialEq, Message)]
pub struct NameState {
    /// 0: go on, nothing is said (default profile); 1 known, 2 unknown, 3 active elsewhere (classic profile).
    #[prost(uint32, tag = "1")]
    pub state: u32,
    /// A login with a name that nobody has may sign up by REGI, once the user said so.
    #[prost(bool, tag = "2")]
    pub sign_up: bool,
    /// Names keep their case.
    #[prost(bool, tag = "3")]
    pub keeps_case: bool,
    /// A logout forgets the device's key: the next login needs the password.
    #[prost(bool, tag = "4")]
    pub forgets_device: bool,
}

/// A device to be enrolled with a password.
#[derive(Clone, PartialEq, Message)]
pub struct Enrol {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// 32 bytes: Ed25519 public key.
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// The device's name for its owner.
    #[prost(string, tag = "3")]
    pub name: String,
    /// 64 bytes: the device's proof (contract, "Sessions and devices").
    #[prost(bytes = "vec", tag = "4")]
    pub proof: Vec<u8>,
}

/// REGI and LOGI: a password and the device to enrol.
#[derive(Clone, PartialEq, Message)]
pub struct Password {
    /// The account's name.
    #[prost(string, tag = "1")]
    pub account: String,
    /// The password: opaque UTF-8.
    #[prost(string, tag = "2")]
    pub password: String,
    /// The device.
    #[prost(message, optional, tag = "3")]
    pub enrol: Option<Enrol>,
    /// REGI: an invitation code, or empty.
    #[prost(string, tag = "4")]
    pub invite: String,
    /// LOGI: end the session of another device where the policy would refuse.
    #[prost(bool, tag = "5")]
    pub take_over: bool,
}

/// DEVI: login by the key of an enrolled device.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceLogin {
    /// The account's name.
    #[prost(string, tag = "1")]
    pub account: String,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
    /// 64 bytes: the device's proof.
    #[prost(bytes = "vec", tag = "3")]
    pub proof: Vec<u8>,
    /// A login that the user typed, not a reconnect (counts as activity).
    #[prost(bool, tag = "4")]
    pub by_user: bool,
    /// End the session of another device where the policy would refuse.
    #[prost(bool, tag = "5")]
    pub take_over: bool,
}

/// Answer to REGI, LOGI and DEVI.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedIn {
    /// The account's name as the server keeps it.
    #[prost(string, tag = "1")]
    pub account: String,
}

/// PASS: another password for the account.
#[derive(Clone, PartialEq, Message)]
pub struct NewPassword {
    /// The password as it is.
    #[prost(string, tag = "1")]
    pub old: String,
    /// The password as it is to be.
    #[prost(string, tag = "2")]
    pub new: String,
    /// The account's other devices lose their keys.
    #[prost(bool, tag = "3")]
    pub revoke_others: bool,
}

/// Answer to PASS.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PasswordChanged {
    /// How many devices lost their keys.
    #[prost(uint32, tag = "1")]
    pub revoked: u32,
}

/// LOGO: end the session on purpose.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Logout {
    /// End the sessions of the account's other devices too.
    #[prost(bool, tag = "1")]
    pub all_devices: bool,
}
