//! `fairlead serve`: controller and proxy until SIGTERM.

use super::{Call, FAILED, OK, Stop};
use crate::app::{Ended, Logs, Running, Signals};
use crate::settings::{Settings, flag};

/// Serves what `--manifests` holds until a signal asks to end.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let settings = Settings::read(&call.given)?;
    if settings.manifests.is_empty() {
        return Err(Stop::unusable(format!(
            "--manifests PATH is missing: this version serves folders of YAML, not yet the Kubernetes API; \
             to see it work, run {} demo",
            call.program
        )));
    }
    for path in &settings.manifests {
        flag::existing(path).map_err(|why| Stop::unusable(format!("--manifests: {why}")))?;
    }
    let signals = Signals::catch().map_err(|error| Stop::failed(format!("cannot wait for signals: {error}")))?;
    let running = Running::start(settings, Logs::Standard)?;
    signals.wait();
    Ok(match running.drain(&signals) {
        Ended::Drained => OK,
        Ended::Cut => FAILED,
    })
}
