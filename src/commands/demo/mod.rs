//! `fairlead demo`: the whole of Fairlead with nothing else installed, and what to try with it.

mod backends;
mod changes;
mod folder;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::backends::Backends;
use self::changes::Told;
use self::folder::{AUTHORITY, Folder, SHOP};
use super::{Call, OK, Stop, print_text};
use crate::app::{Addresses, Ended, Logs, Running, Signals};
use crate::controller::Standing;
use crate::ir::Config;
use crate::settings::flags::SERVE;
use crate::settings::{Given, Settings, flag, units};

/// Serves the demo until Ctrl-C.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let signals = Signals::catch_all().map_err(|error| Stop::failed(format!("cannot wait for Ctrl-C: {error}")))?;
    let backends = Backends::start().map_err(|error| Stop::failed(format!("cannot start the back ends: {error}")))?;
    let folder = match call.given.text("dir") {
        Some(path) => Folder::kept(Path::new(path), &backends)
            .map_err(|error| Stop::failed(format!("cannot use the folder {path}: {error}")))?,
        None => {
            let parent = (call.environment)("TMPDIR").filter(|path| !path.is_empty());
            let parent = parent.unwrap_or_else(|| "/tmp".to_owned());
            Folder::temporary(Path::new(&parent), &backends)
                .map_err(|error| Stop::failed(format!("cannot write manifests below {parent}: {error}")))?
        }
    };
    let settings = settings(&call.given, folder.path())?;
    let patience = settings.drain_timeout;
    let running = Running::start(settings, Logs::Quiet).map_err(|error| with_flag(&error.into(), call))?;
    print_text(&greeting(call.program, &folder, running.addresses()));
    watch(&running, &signals);
    print_text(&format!("\nDraining: open requests have {}.\n", units::show_duration(patience)));
    let ended = running.drain(&signals);
    if folder.is_temporary() {
        print_text(&format!("Removing {}.\n", folder.path().display()));
    }
    Ok(if ended == Ended::Drained { OK } else { super::FAILED })
}

/// Prints what changes until a signal comes.
fn watch(running: &Running, signals: &Signals) {
    let (mut config, mut problems) = (running.config(), running.problems());
    let mut shown = told(&config, &problems);
    print_lines(&shown.problems());
    while !signals.came_within(LOOK_EVERY) {
        let now = (running.config(), running.problems());
        if Arc::ptr_eq(&now.0, &config) && Arc::ptr_eq(&now.1, &problems) {
            continue;
        }
        (config, problems) = now;
        let told = told(&config, &problems);
        print_lines(&told.since(&shown));
        shown = told;
    }
}

fn told(config: &Config, problems: &[Standing]) -> Told {
    Told::of(config, problems.iter().map(|standing| &standing.problem))
}

fn print_lines(lines: &[String]) {
    if !lines.is_empty() {
        print_text(&format!("{}\n", lines.join("\n")));
    }
}

/// As `serve` with flags would have it, on loopback only. Port 0 means any free one here, not "off".
fn settings(given: &Given, manifests: &Path) -> Result<Settings, Stop> {
    let text = |name: &str| given.text(name).unwrap_or_default().to_owned();
    let mut said = vec![
        ("manifests", manifests.display().to_string()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("admin-address", text("admin-address")),
        ("drain-timeout", text("drain-timeout")),
    ];
    said.extend(given.text("workers").map(|workers| ("workers", workers.to_owned())));
    let mut settings = Settings::read(&Given::of(SERVE, &said)?)?;
    let port = |name| Ok::<u16, Stop>(given.read(name, flag::port)?.unwrap_or(0));
    settings.http_port = Some(port("http-port")?);
    settings.https_port = Some(port("https-port")?);
    settings.options.http_port = settings.http_port;
    settings.options.https_port = settings.https_port;
    settings.health_addresses = vec![(Ipv4Addr::LOCALHOST, port("health-port")?).into()];
    Ok(settings)
}

/// A port in use is told with the flag that chooses another one.
fn with_flag(stop: &Stop, call: &Call<'_>) -> Stop {
    let flags = ["http-port", "https-port", "health-port", "admin-address"];
    let port = |name: &str| call.given.text(name).and_then(|text| text.rsplit(':').next().map(str::to_owned));
    let named = flags.iter().find(|name| port(name).is_some_and(|port| stop.line.contains(&format!(":{port}:"))));
    match named {
        Some(name) if stop.line.contains("in use") => {
            Stop { code: stop.code, line: format!("{}; choose another with --{name}", stop.line) }
        }
        _ => Stop { code: stop.code, line: stop.line.clone() },
    }
}

fn greeting(program: &str, folder: &Folder, addresses: &Addresses) -> String {
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    let (http, https, admin) = (port(&addresses.http), port(&addresses.https), addresses.admin);
    let path = folder.path().display();
    let mut text = format!("Fairlead serves {path} on http://127.0.0.1:{http} and https://127.0.0.1:{https}.\n\n");
    if folder.is_sample() {
        let authority = quoted(&folder.path().join(AUTHORITY).display().to_string());
        let tls = format!("--cacert {authority} --resolve shop.localhost:{https}:127.0.0.1");
        text.push_str(&format!(
            "Try in another terminal:\n\
             \x20 curl -s -H 'Host: site.localhost' http://127.0.0.1:{http}/\n\
             \x20 curl -s -H 'Host: blue.tenants.localhost' http://127.0.0.1:{http}/hello\n\
             \x20 curl -s {tls} https://shop.localhost:{https}/\n\
             \x20 curl -s {tls} 'https://shop.localhost:{https}/api/order/[1-8]'\n\n\
             The last one asks eight times: of two servers one has three times the weight of the other.\n\n\
             Edit {path}/{SHOP}, for example change /api to /v2: it is served at once, and told here.\n",
        ));
    } else {
        text.push_str("Edit a file in it: the change is served at once, and told here.\n");
    }
    text.push_str(&format!(
        "See also: {program} routes{admin_flag}, and http://{admin}/ in a browser.\nCtrl-C ends it{and}.\n\n",
        admin_flag = if admin.to_string() == DEFAULT_ADMIN { String::new() } else { format!(" --admin {admin}") },
        and = if folder.is_temporary() { " and removes the folder" } else { "" },
    ));
    text
}

/// As one word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
const DEFAULT_ADMIN: &str = "127.0.0.1:10246";
