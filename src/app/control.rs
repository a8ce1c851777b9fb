//! The control thread: one runtime for the source, the compiler and DNS.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::StartError;
use crate::controller::{Controller, Outlets};
use crate::settings::Settings;
use crate::source::{FolderSource, OpenError};
use crate::telemetry::Part;

/// The running thread; it ends when this is dropped.
pub(super) struct Control {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts the thread, and returns when the manifests were read and the first table is there.
    pub(super) fn start(settings: &Settings, outlets: Outlets) -> Result<Control, StartError> {
        let failed = |error| StartError::Thread { what: "the control thread", error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (report, opened) = mpsc::channel::<Result<(), OpenError>>();
        let (paths, options, flags) = (settings.manifests.clone(), settings.options.clone(), settings.problems.clone());
        let table = std::sync::Arc::clone(&outlets.table);
        let body = move || {
            let _alive = outlets.readiness.alive(Part::Control);
            runtime.block_on(async move {
                let source = match FolderSource::open(&paths, &options.annotations_prefix) {
                    Ok(source) => source,
                    Err(error) => return drop(report.send(Err(error))),
                };
                let mut running = std::pin::pin!(Controller::new(outlets.clone(), options, flags).run(source));
                // The first step applies what is there now; it waits for nothing before.
                let _ = futures::poll!(running.as_mut());
                let _ = report.send(Ok(()));
                tokio::select! {
                    never = running => match never {},
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(body).map_err(failed)?;
        let control = Control { stop: Some(stop), thread: Some(thread) };
        match opened.recv() {
            Ok(Ok(())) if table.generation() > 0 => Ok(control),
            Ok(Err(error)) => Err(error.into()),
            // A panic was printed and counted.
            Ok(Ok(())) | Err(mpsc::RecvError) => Err(StartError::NoTable),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
