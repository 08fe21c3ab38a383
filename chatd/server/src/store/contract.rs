//! The one contract test of the store seam: what every store must do, whatever keeps its rows.
//!
//! Called by each store's own tests with a [`Place`] to keep it in; knows nothing of SQL.

mod account;
mod keeping;
mod messages;
mod model;
mod operator;
mod people;
mod private;
mod room;
mod town;

pub use account::*;
pub use keeping::*;
pub use messages::*;
pub use model::*;
pub use operator::*;
pub use people::*;
pub use private::*;
pub use room::*;
pub use town::{Device, Place, Recorder, Told, Town, message, name, new_device, text};
