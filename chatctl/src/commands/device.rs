//! device list, device revoke.

use chat_proto::control::device::{self as control, Device};

use super::Context;
use crate::args;
use crate::json;
use crate::output::{End, Form};
use crate::time::iso;
use crate::words;

/// `device`.
pub async fn device(ctx: &mut Context, args: args::Device) -> Result<(), End> {
    match args {
        args::Device::List => list(ctx).await,
        args::Device::Revoke { device } => revoke(ctx, device).await,
    }
}

/// The account's devices, this one among them.
pub async fn devices(ctx: &mut Context) -> Result<Vec<Device>, End> {
    let profile = ctx.profile().await?;
    Ok(ctx.call(&control::DeviceList { profile, timeout_ms: ctx.timeout_ms() }).await?.items)
}

async fn list(ctx: &mut Context) -> Result<(), End> {
    let devices = devices(ctx).await?;
    let out = &ctx.out;
    match out.form {
        Form::Json => out.object("devices", json::items(devices.iter().map(json::device)))?,
        Form::Plain => devices.iter().try_for_each(|device| row(ctx, device))?,
        Form::Human => {
            let widest = devices.iter().map(words::device_width).max().unwrap_or_default();
            devices.iter().try_for_each(|device| out.line(&words::device(device, widest, &out.clock)))?;
        }
    }
    ctx.listed(devices.is_empty())
}

fn row(ctx: &Context, device: &Device) -> Result<(), End> {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let time = |at: Option<i64>| at.map_or_else(String::new, iso);
    let (since, seen) = (time(device.since_ms), time(device.seen_ms));
    ctx.out.row(&[&device.id, &device.name, &since, &seen, yes(device.online), yes(device.own)])
}

async fn revoke(ctx: &mut Context, device: String) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let device = ctx.call(&control::DeviceRevoke { profile, device, timeout_ms: ctx.timeout_ms() }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("device", json::device(&device).with("revoked", &true)),
        Form::Plain => ctx.out.row(&[&device.id, &device.name, "revoked"]),
        Form::Human => ctx.out.success(&words::device_revoked(&device, &ctx.out.chatctl)),
    }
}
