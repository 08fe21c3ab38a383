//! What a daemon refuses from the start: files for others, core dumps, debuggers of the same user (S37, S40), and to go on
//! after a panic.

/// Makes new files private whatever umask the caller had, keeps memory with secrets off the disk, and ends the process at
/// the first panic of any thread: a restart is cheap, a daemon that is half dead is not.
///
/// Called first thing by `main`. A system that refuses a limit only loses that limit, so this cannot fail.
/// On Windows new files have the rights of the folder that they are made in, and the last point alone is ours.
pub fn harden() {
    #[cfg(unix)]
    keep_private();
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        tracing::error!(%panic, "a bug: the process ends");
        std::process::abort();
    }));
}

#[cfg(unix)]
fn keep_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
