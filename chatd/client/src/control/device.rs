//! Calls about the account's devices: device list, device revoke. Both are the server's to answer.

use chat_proto::control::device::{Device, DeviceList, DeviceRevoke};
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::id::{DeviceId, unhex};
use chat_proto::{method, wire};

use super::people::ask;
use crate::daemon::Daemon;
use crate::profile::{Answer, Profile};

pub(super) async fn device_list(d: &Daemon, call: DeviceList) -> Answer<Items<Device>> {
    let profile = d.profile(&call.profile).await?;
    Ok(Items { items: devices(&profile, call.timeout_ms).await? })
}

async fn devices(profile: &Profile, timeout_ms: u64) -> Answer<Vec<Device>> {
    let devices: wire::Devices = ask(profile, method::DEVICES, &wire::Empty {}, timeout_ms).await?;
    devices.items.into_iter().map(device).collect()
}

fn device(device: wire::Device) -> Answer<Device> {
    let id = DeviceId::try_from(&device.device_id[..]).map_err(|_| Box::new(ErrorData::from(Code::PROTOCOL)))?;
    let known = |ms: i64| (ms > 0).then_some(ms);
    Ok(Device {
        id: id.to_string(),
        name: device.name,
        since_ms: known(device.since_ms),
        seen_ms: known(device.seen_ms),
        online: device.online,
        own: device.own,
    })
}

pub(super) async fn device_revoke(d: &Daemon, call: DeviceRevoke) -> Answer<Device> {
    let profile = d.profile(&call.profile).await?;
    let devices = devices(&profile, call.timeout_ms).await?;
    let unknown = || Box::new(ErrorData { subject: Some(call.device.clone()), ..Code::UNKNOWN_DEVICE.into() });
    let device = meant(devices, &call.device).ok_or_else(unknown)?;
    let device_id = unhex::<16>(&device.id).ok_or_else(unknown)?.to_vec();
    let body = wire::Revoke { device_id };
    let _done: wire::Empty = ask(&profile, method::REVOKE, &body, call.timeout_ms).await?;
    Ok(device)
}

/// The one device whose id begins so, or that has this name.
fn meant(devices: Vec<Device>, typed: &str) -> Option<Device> {
    let by_id = |device: &&Device| !typed.is_empty() && device.id.starts_with(&typed.to_ascii_lowercase());
    let by_name = |device: &&Device| !typed.is_empty() && device.name == typed;
    let found = only(devices.iter().filter(by_id)).or_else(|| only(devices.iter().filter(by_name)))?;
    Some(found.clone())
}

fn only<'a>(mut found: impl Iterator<Item = &'a Device>) -> Option<&'a Device> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_the_start_of_its_id_or_by_its_name() {
        let device = |id: &str, name: &str| Device {
            id: id.into(),
            name: name.into(),
            since_ms: None,
            seen_ms: None,
            online: false,
            own: false,
        };
        let devices =
            || vec![device("ab12", "laptop"), device("ab34", "phone"), device("cd56", "phone"), device("ef78", "")];
        let meant = |typed: &str| meant(devices(), typed).map(|device| device.id);
        assert_eq!(meant("AB1").as_deref(), Some("ab12"));
        assert_eq!(meant("laptop").as_deref(), Some("ab12"));
        assert_eq!(meant("c").as_deref(), Some("cd56"));
        for unclear in ["ab", "phone", "x", ""] {
            assert_eq!(meant(unclear), None, "{unclear}");
        }
    }
}
