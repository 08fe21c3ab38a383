//! Who we are on Windows, and what a pipe, a directory or a file lets whom do. windows-permissions wraps the calls, so that none of
//! ours is unsafe.

use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_permissions::constants::{AceFlags, AceType, SeObjectType, SecurityInformation};
use windows_permissions::utilities::current_process_sid;
use windows_permissions::wrappers::{GetSecurityInfo, SetNamedSecurityInfo};
use windows_permissions::{LocalBox, SecurityDescriptor};

/// Administrators: what a process with raised rights makes may be theirs.
const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The system itself.
const SYSTEM: &str = "S-1-5-18";
/// Stands for whoever owns the thing.
const OWNER: &str = "S-1-3-4";

/// Our user's security identifier, e.g. `S-1-5-21-1-2-3-1001`: the same in a process with raised rights.
pub fn sid() -> io::Result<String> {
    Ok(current_process_sid()?.to_string())
}

/// Is our user himself the owner of the pipe? Whoever owns it may change who else opens it.
pub(crate) fn owns_pipe(handle: &impl AsRawHandle) -> io::Result<bool> {
    let found = GetSecurityInfo(handle, SeObjectType::SE_KERNEL_OBJECT, SecurityInformation::Owner)?;
    Ok(found.owner() == Some(&*current_process_sid()?))
}

/// What a directory or file says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    /// It belongs to us, to administrators or to the system.
    pub(crate) owned: bool,
    /// Nobody but these may do anything with it.
    pub(crate) private: bool,
}

pub(crate) fn rights(handle: &impl AsRawHandle) -> io::Result<Rights> {
    let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
    let found = GetSecurityInfo(handle, SeObjectType::SE_FILE_OBJECT, parts)?;
    let trusted = [sid()?, ADMINISTRATORS.to_owned(), SYSTEM.to_owned(), OWNER.to_owned()];
    let owned = found.owner().is_some_and(|owner| trusted.contains(&owner.to_string()));
    Ok(Rights { owned, private: is_closed(&found, &trusted) })
}

/// Is every entry that lets somebody in for one of these? Without a list everybody is let in.
fn is_closed(descriptor: &SecurityDescriptor, trusted: &[String]) -> bool {
    let Some(list) = descriptor.dacl() else {
        return false;
    };
    (0..list.len()).all(|index| {
        let Some(entry) = list.get_ace(index) else {
            return false;
        };
        let denies = entry.ace_type() == AceType::ACCESS_DENIED_ACE_TYPE;
        let for_others_below = entry.flags().contains(AceFlags::InheritOnly);
        denies || for_others_below || entry.sid().is_some_and(|who| trusted.contains(&who.to_string()))
    })
}

/// Takes a directory that was just made from all but the user and the system; what is made in it inherits that.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    set_list(path, &format!("D:P(A;OICI;FA;;;{})(A;OICI;FA;;;SY)", sid()?))
}

fn set_list(path: &Path, text: &str) -> io::Result<()> {
    let descriptor: LocalBox<SecurityDescriptor> = text.parse()?;
    let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    SetNamedSecurityInfo(path, SeObjectType::SE_FILE_OBJECT, parts, None, None, descriptor.dacl(), None)
}

/// For tests: lets everybody read what is there.
#[cfg(test)]
pub(crate) fn give_to_everybody(path: &Path) -> io::Result<()> {
    set_list(path, &format!("D:P(A;OICI;FA;;;{})(A;OICI;FR;;;WD)", sid()?))
}
