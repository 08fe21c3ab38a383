//! The server as its clients see it: a real one in this process, real TLS, clients that speak the protocol frame by frame.

mod account;
mod classic;
mod client;
mod config;
mod delivery;
mod discovery;
mod http;
mod input;
mod operator;
mod people;
mod private;
mod raw;
mod relay;
mod safety;
mod session;
mod strangers;
mod world;
