//! What a daemon refuses from the start: files for others, core dumps, debuggers of the same user (S37, S40), and to go on
//! after a panic.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// Makes new files private whatever umask the caller had, keeps memory with secrets off the disk, and ends the process at
/// the first panic of any thread: a restart is cheap, a daemon that is half dead is not.
///
/// Called first thing by `main`. A system that refuses a limit only loses that limit, so this cannot fail.
pub fn harden() {
    umask(Mode::from_raw_mode(0o077));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        tracing::error!(%panic, "a bug: the process ends");
        std::process::abort();
    }));
}
