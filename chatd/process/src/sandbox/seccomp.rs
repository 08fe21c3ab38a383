//! System calls that a daemon never makes, refused by a filter in the kernel.
//!
//! A list of what is refused, not of what is allowed: which calls a program makes is its C library's business, which changes with
//! every version of it and with the kernel, and a call that is missing from a list of allowed ones is an outage. What such a list
//! would add, that calls of tomorrow's kernels are refused too, is had otherwise: every number beyond the newest that was looked at
//! ([`NEWEST`]) answers "not implemented", for which libraries are made. Refusals are errors, never the end of the process: what a
//! library tries first and may lack (io_uring, clone3) is "not implemented", everything else "not permitted".

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use super::{Rules, SandboxError};

/// The newest call that was looked at for the lists below: mseal, Linux 6.10. The numbers of all architectures have been the same
/// since 424.
const NEWEST: u32 = 462;

/// Always refused.
const NEVER: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    // Namespaces and mounts.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Files behind the back of Landlock.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    // The kernel's inside.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_memfd_secret,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    #[cfg(not(target_arch = "riscv64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    // The host.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Who this process is.
    libc::SYS_personality,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// Changes of modes by a path, where [`Rules::modes`] does not allow them.
const MODES: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
];

/// Libraries try these and have another way. The arguments of clone3 lie in memory, where no filter sees what would be refused of
/// clone.
const MISSING: &[c_long] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_clone3];

/// Whether the kernel has filters, and the library knows the processor.
pub fn is_there() -> bool {
    // Where the status cannot be read it is tried.
    let kernel = std::fs::read_to_string("/proc/self/status").map_or(true, |status| status.contains("\nSeccomp:"));
    kernel && arch().is_ok()
}

/// Installs the filters.
pub fn apply(rules: &Rules) -> Result<(), SandboxError> {
    for program in programs(rules, std::process::id())? {
        seccompiler::apply_filter(&program).map_err(|error| refused(&error))?;
    }
    Ok(())
}

fn refused(error: &dyn std::fmt::Display) -> SandboxError {
    SandboxError::Refused { part: "seccomp", said: error.to_string() }
}

fn arch() -> Result<TargetArch, seccompiler::BackendError> {
    std::env::consts::ARCH.try_into()
}

/// One filter for each of the two errors, since the library has one for each filter.
fn programs(rules: &Rules, own: u32) -> Result<[BpfProgram; 2], SandboxError> {
    let compile = |refused_calls, errno: i32| {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(refused_calls, SeccompAction::Allow, errno, arch()?).and_then(BpfProgram::try_from)
    };
    let missing = MISSING.iter().map(|call| (*call, Vec::new())).collect();
    let mut not_there = compile(missing, libc::ENOSYS).map_err(|error| refused(&error))?;
    not_there.splice(0..0, beyond_the_newest());
    let not_permitted = compile(not_permitted(rules, own)?, libc::EPERM).map_err(|error| refused(&error))?;
    Ok([not_there, not_permitted])
}

/// In front of a filter: numbers that are not known are those of no call. That takes the second set of numbers of x86 along.
fn beyond_the_newest() -> [sock_filter; 3] {
    let statement = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    [
        // The number of the call is the first word of what the filter is given.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, NEWEST),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

type Refused = BTreeMap<c_long, Vec<SeccompRule>>;

fn not_permitted(rules: &Rules, own: u32) -> Result<Refused, SandboxError> {
    let mut calls: Refused = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    if !rules.modes {
        calls.extend(MODES.iter().map(|call| (*call, Vec::new())));
    }
    for (call, one_of) in conditional(rules, own) {
        let rules = one_of.iter().map(|all| rule(all)).collect::<Result<_, _>>();
        calls.insert(call, rules.map_err(|error| refused(&error))?);
    }
    Ok(calls)
}

/// A condition on an argument.
struct When(u8, SeccompCmpOp, u64);

fn rule(all: &[When]) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = |When(argument, operator, value): &When| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
    };
    SeccompRule::new(all.iter().map(condition).collect::<Result<_, _>>()?)
}

/// Calls that are refused with some arguments: where all conditions of one of the lists hold.
fn conditional(rules: &Rules, own: u32) -> Vec<(c_long, Vec<Vec<When>>)> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let own = u64::from(own);
    let value = |number: i32| u64::from(number.unsigned_abs());
    let (thread, writable_code) = (value(libc::CLONE_THREAD), value(libc::PROT_WRITE | libc::PROT_EXEC));
    let mut families = vec![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    if rules.routes {
        families.push(libc::AF_NETLINK);
    }
    let other_family = families.iter().map(|family| When(0, Ne, value(*family))).collect();
    let other_netlink = vec![When(0, Eq, value(libc::AF_NETLINK)), When(2, Ne, value(libc::NETLINK_ROUTE))];
    let to_others = || vec![vec![When(0, Ne, own)]];
    let code_that_is_written = || vec![vec![When(2, MaskedEq(writable_code), writable_code)]];
    vec![
        // A thread, but no process: namespaces need one too.
        (libc::SYS_clone, vec![vec![When(0, MaskedEq(thread), 0)]]),
        (libc::SYS_socket, vec![other_family, other_netlink]),
        // An abort is a signal to oneself.
        (libc::SYS_kill, to_others()),
        (libc::SYS_tgkill, to_others()),
        (libc::SYS_prlimit64, vec![vec![When(0, Ne, 0), When(0, Ne, own)]]),
        (libc::SYS_mmap, code_that_is_written()),
        (libc::SYS_mprotect, code_that_is_written()),
        (libc::SYS_pkey_mprotect, code_that_is_written()),
        // Keys typed into a terminal in its user's name.
        (libc::SYS_ioctl, [libc::TIOCSTI, libc::TIOCLINUX].map(|request| vec![When(1, Eq, request)]).into()),
    ]
}

/// A call as a filter sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its number.
    pub call: c_long,
    /// Its first arguments.
    pub arguments: [u64; 3],
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel does it.
    Allowed,
    /// An error with this number.
    Error(i32),
    /// Anything else, as the kernel's own word.
    Other(u32),
}

/// What the filters of these rules say to a call of the process `own`: the very programs that are installed, run here. For tests of
/// a daemon's own rules; calls that no safe library makes are looked at in no other way.
pub fn verdict(rules: &Rules, own: u32, asked: Asked) -> io::Result<Verdict> {
    let programs = programs(rules, own).map_err(io::Error::other)?;
    let mut verdict = Verdict::Allowed;
    for program in programs {
        match run(&program, asked)? {
            // Of two errors the kernel takes that of the filter installed last.
            libc::SECCOMP_RET_ALLOW => {}
            word if word & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO => {
                verdict = Verdict::Error((word & libc::SECCOMP_RET_DATA) as i32);
            }
            word => verdict = Verdict::Other(word),
        }
    }
    Ok(verdict)
}

/// Runs a filter as the kernel does: the few instructions that the library makes.
fn run(program: &[sock_filter], asked: Asked) -> io::Result<u32> {
    let (mut at, mut word) = (0, 0);
    loop {
        let step: &sock_filter = program.get(at).ok_or_else(|| io::Error::other("a filter without an end"))?;
        at += 1;
        let jump = |is_so: bool| usize::from(if is_so { step.jt } else { step.jf });
        match u32::from(step.code) {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => word = data(asked, step.k)?,
            code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => word &= step.k,
            code if code == libc::BPF_RET | libc::BPF_K => return Ok(step.k),
            code if code == libc::BPF_JMP | libc::BPF_JA => at += step.k as usize,
            code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => at += jump(word == step.k),
            code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => at += jump(word > step.k),
            code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => at += jump(word >= step.k),
            code => return Err(io::Error::other(format!("an instruction {code:#x} that no filter has"))),
        }
    }
}

/// A word of what the kernel hands to a filter: the number, the processor, an address, and the arguments in two halves each.
fn data(asked: Asked, offset: u32) -> io::Result<u32> {
    const AUDIT_ARCH: u32 = if cfg!(target_arch = "x86_64") {
        0xc000_003e
    } else if cfg!(target_arch = "aarch64") {
        0xc000_00b7
    } else {
        0xc000_00f3
    };
    let argument = || {
        let place = usize::try_from(offset.checked_sub(16)? / 4).ok()?;
        let value = asked.arguments.get(place / 2).copied().unwrap_or(0);
        Some((value >> (32 * (place % 2))) as u32)
    };
    match offset {
        0 => Ok(asked.call as u32),
        4 => Ok(AUDIT_ARCH),
        _ => argument().ok_or_else(|| io::Error::other("a word that no filter is given")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 4711;
    const DENIED: Verdict = Verdict::Error(libc::EPERM);
    const MISSED: Verdict = Verdict::Error(libc::ENOSYS);

    fn of(rules: &Rules, call: c_long, arguments: [u64; 3]) -> Verdict {
        verdict(rules, OWN, Asked { call, arguments }).expect("a filter that ends")
    }

    #[test]
    fn every_call_of_the_lists_is_refused_and_no_other_without_a_condition() {
        let rules = Rules { modes: true, ..Rules::default() };
        let conditional: Vec<c_long> = conditional(&rules, OWN).into_iter().map(|(call, _)| call).collect();
        for call in (0..=c_long::from(NEWEST)).filter(|call| !conditional.contains(call)) {
            let meant = match (NEVER.contains(&call), MISSING.contains(&call)) {
                (true, _) => DENIED,
                (_, true) => MISSED,
                _ => Verdict::Allowed,
            };
            assert_eq!(of(&rules, call, [0; 3]), meant, "call {call}");
        }
        for call in [463, 470, 500, 0x4000_0000, 0x4000_0000 + libc::SYS_execve] {
            assert_eq!(of(&rules, call, [0; 3]), MISSED, "call {call}");
        }
    }

    #[test]
    fn arguments_decide_where_a_call_is_needed() {
        let (bare, full) = (Rules::default(), Rules { routes: true, modes: true, ..Rules::default() });
        let (own, n) = (u64::from(OWN), |number: i32| u64::from(number.unsigned_abs()));
        for (family, in_bare, in_full) in [
            (libc::AF_UNIX, true, true),
            (libc::AF_INET, true, true),
            (libc::AF_INET6, true, true),
            (libc::AF_NETLINK, false, true),
            (libc::AF_PACKET, false, false),
            (libc::AF_ALG, false, false),
            (libc::AF_VSOCK, false, false),
            (libc::AF_BLUETOOTH, false, false),
        ] {
            for (rules, allowed) in [(&bare, in_bare), (&full, in_full)] {
                let meant = if allowed { Verdict::Allowed } else { DENIED };
                assert_eq!(of(rules, libc::SYS_socket, [n(family), 1, 0]), meant, "family {family}");
            }
        }
        assert_eq!(of(&full, libc::SYS_socket, [n(libc::AF_NETLINK), 3, n(libc::NETLINK_AUDIT)]), DENIED);
        assert_eq!(of(&bare, libc::SYS_fchmodat, [0; 3]), DENIED);
        assert_eq!(of(&full, libc::SYS_fchmodat, [0; 3]), Verdict::Allowed);
        let threads = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        let cases = [
            (libc::SYS_clone, [n(threads), 0, 0], true),
            (libc::SYS_clone, [n(libc::SIGCHLD), 0, 0], false),
            (libc::SYS_clone, [n(libc::CLONE_NEWUSER), 0, 0], false),
            (libc::SYS_kill, [own, 6, 0], true),
            (libc::SYS_kill, [own + 1, 0, 0], false),
            (libc::SYS_kill, [u64::MAX, 9, 0], false),
            (libc::SYS_kill, [0, 9, 0], false),
            (libc::SYS_tgkill, [own, own, 6], true),
            (libc::SYS_tgkill, [1, 1, 9], false),
            (libc::SYS_prlimit64, [0, 7, 0], true),
            (libc::SYS_prlimit64, [1, 7, 0], false),
            (libc::SYS_mmap, [0, 4096, n(libc::PROT_READ | libc::PROT_EXEC)], true),
            (libc::SYS_mmap, [0, 4096, n(libc::PROT_READ | libc::PROT_WRITE)], true),
            (libc::SYS_mmap, [0, 4096, n(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)], false),
            (libc::SYS_mprotect, [0, 4096, n(libc::PROT_WRITE | libc::PROT_EXEC)], false),
            (libc::SYS_ioctl, [0, libc::TIOCGWINSZ, 0], true),
            (libc::SYS_ioctl, [0, libc::TIOCSTI, 0], false),
            // The kernel looks at half of it only.
            (libc::SYS_ioctl, [0, libc::TIOCSTI | 1 << 32, 0], false),
        ];
        for (call, arguments, allowed) in cases {
            let meant = if allowed { Verdict::Allowed } else { DENIED };
            assert_eq!(of(&bare, call, arguments), meant, "call {call} with {arguments:?}");
        }
    }
}
