//! `fairlead serve`: controller and proxy until SIGTERM.

use std::time::Duration;

use super::{Call, FAILED, OK, Stop};
use crate::app::{Ended, Logs, Running, Signals};
use crate::settings::{Settings, flag};

/// Serves what the Kubernetes API or `--manifests` holds until a signal asks to end.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let settings = Settings::read(&call.given)?;
    for path in &settings.manifests {
        flag::existing(path).map_err(|why| Stop::unusable(format!("--manifests: {why}")))?;
    }
    let signals = Signals::catch().map_err(|error| Stop::failed(format!("cannot wait for signals: {error}")))?;
    let is_over = || signals.came_within(Duration::ZERO);
    let Some(running) = Running::start_unless(settings, Logs::Standard, &is_over)? else { return Ok(OK) };
    signals.wait();
    Ok(match running.drain(&signals) {
        Ended::Drained => OK,
        Ended::Cut => FAILED,
    })
}
