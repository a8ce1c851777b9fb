//! `fairlead demo`: the whole of Fairlead with nothing else installed, and what to try with it.

mod backends;
mod changes;
mod folder;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use self::backends::Backends;
use self::changes::changes;
use self::folder::{AUTHORITY, Folder, SHOP};
use super::{Call, OK, Stop, print_text};
use crate::app::{Addresses, Ended, Logs, Published, Running, Signals};
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
    let first = running.wait_for_table();
    print_text(&greeting(call.program, &folder, &running.addresses()));
    print_problems(&first);
    watch(&running, &signals, first);
    print_text(&format!("\nDraining: open requests have {}.\n", units::show_duration(patience)));
    let ended = running.drain(&signals);
    if folder.is_temporary() {
        print_text(&format!("Removing {}.\n", folder.path().display()));
    }
    Ok(if ended == Ended::Drained { OK } else { super::FAILED })
}

/// Prints each publication's changes until a signal comes.
fn watch(running: &Running, signals: &Signals, first: Published) {
    let mut shown = first;
    while !signals.came_within(LOOK_EVERY) {
        let published = running.published();
        if published.generation == shown.generation && published.problems == shown.problems {
            continue;
        }
        let before = (&*shown.config, shown.problems.as_slice());
        for line in changes(before, (&*published.config, published.problems.as_slice())) {
            print_text(&format!("{line}\n"));
        }
        shown = published;
    }
}

fn print_problems(published: &Published) {
    let nothing = crate::ir::Config::default();
    let with = (&nothing, published.problems.as_slice());
    for line in changes((&nothing, &[]), with) {
        print_text(&format!("{line}\n"));
    }
}

fn settings(given: &Given, manifests: &Path) -> Result<Settings, Stop> {
    let mut settings = Settings::folder(manifests);
    let port = |name| Ok::<u16, Stop>(given.read(name, flag::port)?.unwrap_or(0));
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    settings.bind_addresses = vec![loopback];
    settings.http_port = Some(port("http-port")?);
    settings.https_port = Some(port("https-port")?);
    settings.health_addresses = vec![SocketAddr::new(loopback, port("health-port")?)];
    if let Some(address) = given.read("admin-address", flag::address)? {
        settings.admin_address = address;
    }
    if let Some(workers) = given.read("workers", |text| text.parse().map_err(|_| format!("{text:?} is too many")))? {
        settings.workers = workers;
    }
    settings.drain_timeout = given.read("drain-timeout", units::duration)?.unwrap_or_default();
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
