//! Files, TCP ports, signals and abstract sockets: what the kernel's Landlock holds.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Rules, SandboxError};

/// The newest ABI that these rules were tried with. What later ones could refuse stays allowed until it is tried.
const TRIED: ABI = ABI::V7;

/// Whether the kernel has it: with ABI 1 nothing could be moved between directories, so that one does not count.
pub fn is_there() -> bool {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer).is_ok()
}

/// Applies it; answers the kernel's ABI.
pub fn apply(rules: &Rules) -> Result<u32, SandboxError> {
    let places = places(rules)?;
    let status = restrict(rules, places).map_err(|error| refused(&error))?;
    match status {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Ok(kernel_abi.and_then(|abi| u32::try_from(abi).ok()).unwrap_or(effective_abi as u32))
        }
        _ => Err(SandboxError::Refused { part: "landlock", said: "it is gone between two looks".into() }),
    }
}

fn refused(error: &RulesetError) -> SandboxError {
    SandboxError::Refused { part: "landlock", said: error.to_string() }
}

fn restrict(rules: &Rules, places: Vec<PathBeneath<PathFd>>) -> Result<LandlockStatus, RulesetError> {
    let mut connections: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    if !rules.connect {
        connections |= AccessNet::ConnectTcp;
    }
    let mut scopes: BitFlags<Scope> = Scope::Signal.into();
    if !rules.abstract_sockets {
        scopes |= Scope::AbstractUnixSocket;
    }
    let handled =
        Ruleset::default().handle_access(AccessFs::from_all(TRIED))?.handle_access(connections)?.scope(scopes)?;
    let mut ruleset = handled.create()?;
    for place in places {
        ruleset = ruleset.add_rule(place)?;
    }
    for port in &rules.bind {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(ruleset.restrict_self()?.landlock)
}

fn places(rules: &Rules) -> Result<Vec<PathBeneath<PathFd>>, SandboxError> {
    let mut places = Vec::with_capacity(rules.read.len() + rules.write.len());
    // What cannot be opened cannot be read either.
    let readable = rules.read.iter().filter_map(|path| PathFd::new(path).ok().map(|fd| (path, fd)));
    places.extend(readable.map(|(path, fd)| PathBeneath::new(fd, reading(path))));
    for path in &rules.write {
        let fd = PathFd::new(path)
            .map_err(|error| SandboxError::Place { path: path.clone(), said: cause(&error).to_string() })?;
        places.push(PathBeneath::new(fd, writing()));
    }
    Ok(places)
}

fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().unwrap_or(error)
}

fn reading(path: &Path) -> BitFlags<AccessFs> {
    if path.is_dir() { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() }
}

/// Everything that a program does with its own files.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}
