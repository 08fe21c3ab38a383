//! A hostile user against a real chatd: what is done to private sessions by who has an account, an endpoint, and no manners.
//!
//! The foe speaks the protocols itself ([`account`], [`peer`]); the victim is the real program, in an honest session beside it
//! ([`victim`]) that must go on. Tests are named after the threats: S28 to S32, S42 and S13.

mod account;
mod consent;
mod datagrams;
mod files;
mod flood;
mod frames;
mod handshake;
mod peer;
mod proof;
mod victim;
